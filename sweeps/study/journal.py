"""The file of a study: Optuna's journal, with a checksum in each line."""

from __future__ import annotations

import json
import os
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend

from sweeps.errors import SweepError
from trainer.files import lock_file
from trainer.killpoints import passing

_LOOK_BACK = 1 << 16
_CHECKSUM = "crc32"  # its name in a record
_CREATE_TRIAL = 4  # Optuna's number of that operation
_DETAILS = {5, 7, 8, 9}  # of a trial: parameters, values of epochs, attributes


class _Journal(BaseJournalBackend):
    """Records as lines of JSON, each with a checksum, in a file that Optuna's own backend reads.

    The kernel frees the lock of a writer that dies. Whoever takes it next cuts the file back to its
    last newline, as that writer may have left half a line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends = [0]  # end positions of the lines read so far

    @property
    def read(self) -> int:
        """Number of lines read so far."""
        return len(self._ends) - 1

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from this number on.

        Raises:
            SweepError: a line is damaged.
        """
        with self._path.open("rb") as file:
            file.seek(self._ends[log_number_from])
            for number, line in enumerate(file, start=log_number_from + 1):
                if not line.endswith(b"\n"):
                    return  # another process is writing it
                try:
                    record = _unsealed(line)
                except ValueError as error:
                    raise damaged(self._path, number) from error
                if number == len(self._ends):
                    self._ends.append(self._ends[-1] + len(line))
                yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; all are on the disk with the next that begins or ends a trial.

        A disk may take a hundredth of a second to say so. What a power failure takes, the last
        details of trials, follows again from what is stored.

        Raises:
            SweepError: they cannot be written, as on a full disk.
        """
        with _writing(self._path) as file:
            file.write("".join(map(_sealed, logs)).encode())
            file.flush()
            if not _DETAILS.issuperset(log["op_code"] for log in logs):
                os.fsync(file.fileno())
        passing("record-appended")


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    """The journal, repaired and locked for appending; its folder is made if it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_file(path.with_suffix(".lock")), path.open("ab+") as file:
            cut_torn_line(file)
            yield file
    except OSError as error:
        raise SweepError(
            f"The study's journal {path} must be writable, but: {error}. The same command resumes "
            "the study once that is fixed."
        ) from error


def cut_torn_line(file: Any) -> None:
    """Truncate the file to its last newline."""
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
    """Optuna's journal storage in the file `path`, repaired before it is read.

    Raises:
        SweepError: a line in the middle of it is damaged, or it cannot be written.
    """
    with _writing(path):
        pass
    journal = _Journal(path)
    try:
        return JournalStorage(journal)
    except SweepError:
        raise
    except Exception as error:  # whatever Optuna makes of JSON that is no record of its own
        raise damaged(path, journal.read) from error


def damaged(path: Path, line: int) -> SweepError:
    """The error for a damaged line: what remains of the study, and how to continue."""
    with path.open("rb") as file:
        before = [file.readline() for _ in range(line - 1)]
    trials = sum(json.loads(it)["op_code"] == _CREATE_TRIAL for it in before)
    name, old = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    return SweepError(
        f"Line {line} of {path} must be a record of Optuna's, but is damaged. The {trials} trials "
        "before it can be kept: run what follows, then the same command resumes from there, and "
        f"what was trained after them is looked up: cp {name} {old} && head -n {line - 1} {old} > "
        f"{name}"
    )


def _sealed(record: dict[str, Any]) -> str:
    return f"{_text(record | {_CHECKSUM: _checksum(record)})}\n"


def _unsealed(line: bytes) -> dict[str, Any]:
    """The record of a line; lines written by Optuna's own backend have no checksum.

    Raises:
        ValueError: it is damaged.
    """
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("not a record")
    if record.pop(_CHECKSUM, None) not in (None, _checksum(record)):
        raise ValueError("another record than was written")
    return record


def _checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(_text(record).encode())


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))
