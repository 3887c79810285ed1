"""Files that are whole or not there, and locks that end with their holder."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import filelock


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when it is whole, and only then.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def lock_file(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process, and in it one thread, at a time; the kernel frees the lock with its holder.

    Args:
        path: of the file that is locked; it stays.
        waiting: called where another has the lock.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
