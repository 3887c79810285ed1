"""Servers on this machine that tests start and ask."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
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


@contextmanager
def mlflow_server(folder: Path, words: Sequence[str] = ()) -> Iterator[str]:
    """The address of an MLflow server, by default with its database and files in the folder."""
    port = free_port()
    if not words:
        words = ["server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        words += ["--artifacts-destination", str(folder / "files")]
    words = [*words, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (
        (folder / "server.txt").open("w") as output,
        subprocess.Popen(
            [str(Path(sys.executable).with_name("mlflow")), *words],
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            answer(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0")
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)


class Proxy(ThreadingHTTPServer):
    """Stands before a server, and fails as it is told to.

    Attributes:
        upstream: address of the server.
        fault: "" (none), "refuse" (status 500), "drop" (the request is done, but its answer lost)
            or "hold" (no answer until `go` is set).
        matches: part of the paths that fail.
        authorization: header that requests must have; "": none.
        failed: is set when a request has failed.
    """

    daemon_threads = True

    def __init__(self, upstream: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Forward)
        self.upstream, self.fault, self.matches, self.authorization = upstream, "", "", ""
        self.failed, self.go = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        """No longer answer."""
        self.go.set()
        self.shutdown()
        super().__exit__(*error)


class _Forward(BaseHTTPRequestHandler):
    """One connection to a proxy."""

    server: Proxy

    def _forward(self) -> None:
        proxy, length = self.server, int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) or None
        fault = proxy.fault if proxy.matches in self.path else ""
        if fault:
            proxy.failed.set()
        if fault == "hold":
            proxy.go.wait()
        if fault == "refuse":
            self.send_error(500)
            return
        if proxy.authorization and self.headers.get("Authorization") != proxy.authorization:
            self.send_error(401)
            return
        headers = {k: v for k, v in self.headers.items() if k not in ("Host", "Content-Length")}
        request = urllib.request.Request(proxy.upstream + self.path, body, headers)
        request.method = self.command
        try:
            reply = urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            content = reply.read()
        if fault == "drop":
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name in ("Content-Type", "Content-Disposition"):
            if name in reply.headers:
                self.send_header(name, reply.headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815 - as the base has them

    def log_message(self, *words: Any) -> None:
        """Say nothing."""
