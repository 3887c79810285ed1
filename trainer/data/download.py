"""Downloads that end: a temporary folder, a home that must answer, connections with a limit."""

from __future__ import annotations

import http.client
import shutil
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import DataError

SCRATCH = ".fetching-"
PATIENCE = 10.0
"""Seconds without an answer after which a home counts as out of reach."""


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder in `folder` that is removed in the end; so is what killed processes left there.

    One process at a time may have one: `trainer.data.arrays.keep` sees to that.
    """
    for left_over in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as name:
        yield Path(name)


@contextmanager
def patiently(url: str) -> Iterator[None]:
    """Download within: `url` must answer, and no connection may be silent for long.

    Raises:
        DataError: there is no answer, or a download within fails.
    """
    must_answer(url)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torchvision sets none: a lost connection would hang
    try:
        yield
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(f"the download failed ({error})") from error
    finally:
        socket.setdefaulttimeout(before)


def must_answer(url: str) -> None:
    """Raise DataError unless `url` answers in time; in a thread, as name look-ups know no limit."""
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=PATIENCE).close()
            answer.set_result(None)
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(PATIENCE)
    except TimeoutError as error:
        raise DataError(f"no answer within {PATIENCE:g} seconds") from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"it cannot be reached ({getattr(error, 'reason', error)})") from error
