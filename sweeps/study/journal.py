"""The file a study lives in, and the lock that heals it after a crash."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

_LOOK_BACK = 1 << 16


class HealingLock(BaseJournalFileLock):
    """An flock that the kernel releases whatever becomes of its holder.

    Whoever takes it first cuts the journal back to its last newline: a writer that died in the
    middle of a line leaves half of one, which Optuna would stumble over.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = journal.with_suffix(".lock")
        self._held: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock, then heal the journal; whatever stops that lets go of it."""
        self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX)
            cut_torn_line(self._journal)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Let the next one have it."""
        assert self._held is not None, "released without being acquired"
        os.close(self._held)
        self._held = None


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
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
