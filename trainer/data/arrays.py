"""The four arrays of a data set, made once and kept memory-mapped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.files import alone, replacing

META = "meta.json"

Inputs = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Arrays:
    """The four arrays of a data set.

    Attributes:
        train_images: N x H x W x C of bytes, or other inputs, N x ... of float32.
        train_labels: N whole numbers from 0, or N x K targets of float32.
        test_images: of the same type, and of the same shape but for N.
        test_labels: likewise.
    """

    train_images: Inputs
    train_labels: NDArray[Any]
    test_images: Inputs
    test_labels: NDArray[Any]

    @property
    def classes(self) -> int:
        """How many there are: one more than the highest label; of targets, K."""
        if self.train_labels.dtype.kind == "f":
            return int(self.train_labels.shape[1])
        return 1 + int(max(self.train_labels.max(), self.test_labels.max()))

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array's bytes in C order, by its name."""
        return {name: _sha256(getattr(self, name)) for name in ARRAYS}


ARRAYS = tuple(item.name for item in fields(Arrays))


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What meta.json says; it is written last, so the arrays beside it were whole once."""

    classes: int
    sha256: Mapping[str, str]


def say(line: str) -> None:
    """Tell the user one line without getting into a program's output."""
    print(line, file=sys.stderr)


def keep(made: Path, make: Callable[[], Arrays], sha256: Mapping[str, str] | None = None) -> None:
    """Have whole arrays in folder `made`: those that are there, else, and said, what `make` gives.

    Args:
        made: a folder of its own; one process at a time makes what lies beside it.
        make: called only where arrays are missing or damaged.
        sha256: what the arrays must have; without it, what they had when they were made.

    Raises:
        DataError: they cannot be made or written.
    """
    if _fault(made, sha256) is None:
        return
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"Another process prepares data in {made.parent}; waiting for it."
        with alone(made.parent / ".lock", lambda: say(waiting)):
            fault = _fault(made, sha256)  # again: another process may have made them meanwhile
            if fault is None:
                return
            if (made / META).exists():
                say(f"{fault} Making it again.")
            _write(made, make())
            say(f"Data set {made.name!r} is prepared in {made}.")
    except OSError as error:
        raise DataError(f"{made} must be a folder that can be written, but: {error}.") from error


def open_kept(made: Path) -> tuple[Arrays, Meta]:
    """What lies in folder `made`, memory-mapped (a write stays with this process); unchecked.

    Raises:
        DataError: nothing was kept there, or it cannot be opened.
    """
    if not (made / META).exists():
        raise DataError(
            f"Data set {made.name!r} must be prepared in {made} first, but is not; "
            "`trainer.data.prepare` does that."
        )
    try:
        meta = Meta(**json.loads((made / META).read_text()))
        if sorted(meta.sha256) != sorted(ARRAYS):
            raise ValueError(f"{META} is not of these arrays")
        return Arrays(*(np.load(_file(made, name), mmap_mode="c") for name in ARRAYS)), meta
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{made} is damaged ({error}); prepare it again.") from error


def _fault(made: Path, sha256: Mapping[str, str] | None) -> str | None:
    """What is wrong with the prepared arrays, as a sentence; None if they are whole."""
    try:
        arrays, meta = open_kept(made)
    except DataError as error:
        return str(error)
    got = arrays.digests()
    for name in ARRAYS:
        if not got[name] == meta.sha256[name] == (sha256 or meta.sha256)[name]:
            return f"{_file(made, name)} is damaged: its SHA-256 is another."
    return None


def _write(made: Path, arrays: Arrays) -> None:
    made.mkdir(parents=True, exist_ok=True)
    (made / META).unlink(missing_ok=True)
    for name in ARRAYS:
        with replacing(_file(made, name)) as file:
            np.save(file, getattr(arrays, name))
    meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    with replacing(made / META) as file:
        file.write(json.dumps(asdict(meta), indent=2).encode())


def _file(made: Path, name: str) -> Path:
    return made / f"{name.replace('_', '-')}.npy"


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
