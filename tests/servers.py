"""Servers on this machine that tests start and ask."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import Any

_PATIENCE_SECONDS = 120


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def answer(url: str, question: object = None) -> dict[str, Any]:
    """What a server that is just being started answers in the end."""
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as reply:
                content: dict[str, Any] = json.load(reply)
                return content
        except urllib.error.URLError as error:
            refused = isinstance(error.reason, ConnectionRefusedError)
            if not refused or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
