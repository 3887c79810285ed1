"""`claimed` and `leased`: what one process trains, no other trains at the same time."""

from __future__ import annotations

import errno
import fcntl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from trainer.errors import StoreError

PATIENCE_SECONDS = 1800.0
"""How long another process is waited for; it may be stopped, or on a machine that is gone."""

RENEW_SECONDS = 5.0
STALE_SECONDS = 20.0
"""A lease that was not renewed for so long has lost its holder."""

_LOOK_SECONDS = 0.1
_LONGEST_LOOK_SECONDS = 2.0
_HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def claimed(file: Path, key: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the claim on a key in the block; wait while another process holds it.

    It is a lock on one byte of the file, which stays empty: the kernel frees the lock if its holder
    dies, and nothing is left to be removed. Where the file system has no locks, or after `patience`
    seconds, the block runs without: training twice costs time, not numbers.

    Args:
        file: the same one for all processes; its folder is made if it is missing.
        key: hexadecimal.
        patience: seconds.

    Raises:
        OSError: the file cannot be opened.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    offset = int(key[:15], 16)
    until = time.monotonic() + patience
    with file.open("ab") as opened:
        while not _locks(opened.fileno(), offset) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        yield


@contextmanager
def leased(
    read: Callable[[], bytes | None],
    write: Callable[[bytes], None],
    remove: Callable[[], None],
    renew: float = RENEW_SECONDS,
    stale: float = STALE_SECONDS,
) -> Iterator[None]:
    """Hold the lease on an object of a store without locks; wait while another process renews it.

    Whether it is renewed is judged by this process's clock: its content changes. Two processes that
    find it free within the same moment both hold it, and train twice, once.

    Args:
        read: gives the object's content, None where there is none.
        write: puts it.
        remove: removes it.
        renew: seconds between two renewals.
        stale: seconds without one after which another process takes it.

    Raises:
        StoreError: the store cannot be read or written.
    """
    seen, since, look = read(), time.monotonic(), _LOOK_SECONDS
    while seen is not None and time.monotonic() - since < stale:
        time.sleep(look)
        look = min(2 * look, _LONGEST_LOOK_SECONDS)
        if (found := read()) != seen:
            seen, since = found, time.monotonic()
    mine, ended = uuid.uuid4().hex, threading.Event()
    write(mine.encode())

    def go_on() -> None:
        for number in count(1):
            if ended.wait(renew):
                return
            with suppress(StoreError):  # of one renewal; the next may succeed in time
                write(f"{mine} {number}".encode())

    thread = threading.Thread(target=go_on, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(StoreError):  # it is stale soon
            remove()


def _locks(descriptor: int, offset: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
    except OSError as error:
        return error.errno not in _HELD  # else there are no locks here
    return True
