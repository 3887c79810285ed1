"""The file a study lives in, and the lock that heals it after a crash."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from sweeps.errors import SweepError

_LOOK_BACK = 1 << 16


class _Journal(JournalFileBackend):
    """Optuna's journal, whose full disk is an error for people."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; of what could be written in part the next lock cuts the rest."""
        with _writing(self._file_path):
            super().append_logs(logs)


@contextmanager
def _writing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SweepError(
            f"The study's journal {path} must be writable, but: {error}. The same command goes on "
            "when that is mended."
        ) from error


class HealingLock:
    """A lock for Optuna's journal that the kernel frees whatever becomes of its holder.

    Whoever takes it first cuts the journal back to its last newline: a writer that died in the
    middle of a line leaves half of one, which Optuna would stumble over.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = filelock.FileLock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        """Wait for the lock, then heal the journal; whatever stops that lets go of it."""
        self._lock.acquire()
        try:
            cut_torn_line(self._journal)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Let the next one have it."""
        self._lock.release()


def cut_torn_line(path: Path) -> None:
    """Cut the file back to its last newline; it is left alone where it ends with one."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return
    with file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - _LOOK_BACK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            file.truncate(end)


def journal_storage(path: Path) -> BaseStorage:
    """Optuna's journal storage in the file `path`, healed before it is read.

    Raises:
        SweepError: a line in the middle of it is damaged, or it cannot be written.
    """
    lock = HealingLock(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        lock.release()
        backend = _Journal(str(path), lock_obj=lock)  # type: ignore[arg-type] # has all it calls
    try:
        return JournalStorage(backend)
    except ValueError as error:
        line, name = _damaged_line(path), shlex.quote(str(path))
        raise SweepError(
            f"Line {line} of {path} must be JSON, but is damaged. Cut the study there, and the "
            "same command goes on from there; what was trained after it is looked up: "
            f"head -n {line - 1} {name} > mended && mv mended {name}"
        ) from error


def _damaged_line(path: Path) -> int:
    """The number of the first line that is no JSON, from 1."""
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
        except ValueError:
            return number
    return len(lines)
