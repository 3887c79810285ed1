"""`claimed`: what one process trains, no other trains at the same time."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 1800.0
"""How long another process is waited for; it may be stopped, or on a machine that is gone."""

_LOOK_SECONDS = 0.1
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


def _locks(descriptor: int, offset: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
    except OSError as error:
        return error.errno not in _HELD  # else there are no locks here
    return True
