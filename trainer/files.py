"""Atomic writes of files, file locks, and logs of a process."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import filelock

_LOG_BYTES = 1 << 20
_LINE_CHARACTERS = 500


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file that replaces `path` on success and is deleted on failure.

    Raises:
        OSError: the file cannot be written.
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
    """Hold an exclusive lock between processes and threads; the kernel frees it if one dies.

    Args:
        path: file to lock; it is not deleted.
        waiting: called before waiting for another holder.
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


def print_to(log: Path) -> None:
    """Append to `log` what this process prints from now on, its libraries and children too.

    Raises:
        OSError: it cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        stream.flush()
        os.dup2(file, number)
    os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def trim_printed() -> None:
    """Keep only the end of the log of this process where it is longer than a megabyte."""
    with suppress(OSError):  # users' code may have closed it
        size = os.fstat(1).st_size
        if size > _LOG_BYTES:
            end = os.pread(1, _LOG_BYTES // 2, size - _LOG_BYTES // 2)
            os.ftruncate(1, 0)
            os.write(1, end)


def last_lines(log: Path, most: int = 10) -> list[str]:
    """The last lines of a log, each cut where it is long; none of no file."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    return [line[:_LINE_CHARACTERS] for line in text.splitlines()[-most:]]


def remove_empty_logs(folder: Path) -> None:
    """Remove logs named PID.log of processes that are gone and printed nothing."""
    for log in folder.glob("*.log"):
        if not Path("/proc", log.stem).exists() and not log.stat().st_size:
            log.unlink(missing_ok=True)
    with suppress(OSError):  # where one is left
        folder.rmdir()
