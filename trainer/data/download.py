"""Downloads with timeouts, into a temporary folder."""

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
TIMEOUT = 10.0
"""Seconds without an answer after which a server counts as unreachable."""


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Create a folder in `folder` and remove it at the end, with leftovers of killed processes.

    Only one process at a time may use it; `trainer.data.arrays.ensure_arrays` holds a lock.
    """
    for left_over in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as name:
        yield Path(name)


@contextmanager
def limit_waiting(url: str) -> Iterator[None]:
    """Set a socket timeout for a download, after checking that `url` is reachable.

    Raises:
        DataError: `url` does not answer, or the download fails.
    """
    check_reachable(url)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torchvision sets none: a lost connection would hang
    try:
        yield
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(f"the download failed ({error})") from error
    finally:
        socket.setdefaulttimeout(before)


def check_reachable(url: str) -> None:
    """Raise DataError unless `url` answers in time.

    The request runs in a thread, as DNS look-ups have no timeout.
    """
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=TIMEOUT).close()
            answer.set_result(None)
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(TIMEOUT)
    except TimeoutError as error:
        raise DataError(f"no answer within {TIMEOUT:g} seconds") from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"it cannot be reached ({getattr(error, 'reason', error)})") from error
