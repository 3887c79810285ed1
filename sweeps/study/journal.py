"""The file a study lives in, and the lock that heals it after a crash."""

from __future__ import annotations

import os
from pathlib import Path

import filelock
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

_LOOK_BACK = 1 << 16


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
    """Optuna's journal storage in the file `path`, healed before it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = HealingLock(path)
    lock.acquire()
    lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))  # type: ignore[arg-type] # has all it calls
