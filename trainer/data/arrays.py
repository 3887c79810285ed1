"""The four arrays of a data set, stored once and opened memory-mapped."""

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
from trainer.files import atomic_write, lock_file
from trainer.killpoints import passing

META = "meta.json"

Inputs = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.int64]
Labels = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Arrays:
    """The four arrays of a data set.

    Attributes:
        train_images: images, N x H x W x C of uint8, or other inputs, N x ... of float32, or N x L
            of int64.
        train_labels: N class indices from 0, or N x K regression targets (float32).
        test_images: same type as `train_images`; same shape except for N.
        test_labels: same type as `train_labels`; same shape except for N.
    """

    train_images: Inputs
    train_labels: NDArray[Any]
    test_images: Inputs
    test_labels: NDArray[Any]

    @property
    def classes(self) -> int:
        """Number of classes, one more than the highest label; for regression, K."""
        if self.train_labels.dtype.kind == "f":
            return int(self.train_labels.shape[1])
        return 1 + int(max(self.train_labels.max(), self.test_labels.max()))

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array's bytes in C order, by array name."""
        return {name: _sha256(getattr(self, name)) for name in ARRAYS}


ARRAYS = tuple(item.name for item in fields(Arrays))


@dataclass(frozen=True, kw_only=True)
class Meta:
    """Content of meta.json, which is written last and so marks the arrays beside it as complete."""

    classes: int
    sha256: Mapping[str, str]


def say(line: str) -> None:
    """Print one line to stderr, so that stdout stays the program's own output."""
    print(line, file=sys.stderr)


def ensure_arrays(
    made: Path, make: Callable[[], Arrays], sha256: Mapping[str, str] | None = None
) -> None:
    """Ensure that folder `made` holds valid arrays; otherwise build them, and print that.

    Args:
        made: folder of this data set alone; its parent is locked while arrays are built.
        make: builds the arrays; called only if stored ones are missing or damaged.
        sha256: expected digests; None: those recorded when the arrays were built.

    Raises:
        DataError: the arrays cannot be built or written.
    """
    if fault(made, sha256) is None:
        return
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"Another process prepares data in {made.parent}; waiting for it."
        with lock_file(made.parent / ".lock", lambda: say(waiting)):
            why = fault(made, sha256)  # again: another process may have built them meanwhile
            if why is None:
                return
            if (made / META).exists():
                say(f"{why} Building it again.")
            _write(made, make())
            say(f"Data set {made.name!r} is prepared in {made}.")
    except OSError as error:
        raise DataError(f"{made} must be a writable folder, but: {error}.") from error


def open_arrays(made: Path) -> tuple[Arrays, Meta]:
    """Open the arrays in folder `made`, memory-mapped copy-on-write, without checking digests.

    Raises:
        DataError: no arrays were stored there, or they cannot be opened.
    """
    if not (made / META).exists():
        raise DataError(
            f"Data set {made.name!r} must be prepared in {made} first, but is not; "
            "`trainer.data.prepare` does that."
        )
    try:
        meta = Meta(**json.loads((made / META).read_text()))
        if sorted(meta.sha256) != sorted(ARRAYS):
            raise ValueError(f"{META} lists other arrays")
        return Arrays(*(np.load(_file(made, name), mmap_mode="c") for name in ARRAYS)), meta
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{made} is damaged ({error}); prepare it again.") from error


def fault(made: Path, sha256: Mapping[str, str] | None = None) -> str | None:
    """What is wrong with stored arrays, as a sentence; None if they are valid."""
    try:
        arrays, meta = open_arrays(made)
    except DataError as error:
        return str(error)
    got = arrays.digests()
    for name in ARRAYS:
        if not got[name] == meta.sha256[name] == (sha256 or meta.sha256)[name]:
            return f"{_file(made, name)} is damaged: its SHA-256 does not match."
    return None


def _write(made: Path, arrays: Arrays) -> None:
    made.mkdir(parents=True, exist_ok=True)
    (made / META).unlink(missing_ok=True)
    for half in made.glob("*.tmp"):  # of a process that was killed: only one at a time writes here
        half.unlink()
    for name in ARRAYS:
        with atomic_write(_file(made, name)) as file:
            np.save(file, getattr(arrays, name))
        passing("array-written")
    meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    with atomic_write(made / META) as file:
        file.write(json.dumps(asdict(meta), indent=2).encode())
    passing("arrays-described")


def _file(made: Path, name: str) -> Path:
    return made / f"{name.replace('_', '-')}.npy"


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
