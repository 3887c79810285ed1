"""The four arrays of a data set: read from a user's file, or made once and kept memory-mapped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

META = "meta.json"


@dataclass(frozen=True)
class Arrays:
    """The four arrays of a data set: images N x H x W x C of bytes, labels N of whole numbers."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[Any]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[Any]

    @property
    def classes(self) -> int:
        """How many there are: one more than the highest label."""
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


def read_npz(path: Path) -> Arrays:
    """The arrays of a user's file, each under its name.

    Raises:
        DataError: there is no such file, or it does not hold what it should.
    """
    if not path.exists():
        raise DataError(f"A data set must be a file, but there is no {path}.")
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            names = sorted(file.files)
            got = {name: np.ascontiguousarray(file[name]) for name in ARRAYS if name in names}
    except Exception as error:  # damaged bytes make numpy and zipfile raise nearly anything
        raise DataError(f"{path} must be an .npz of plain arrays, but: {error}.") from error
    if len(got) < len(ARRAYS):
        raise DataError(f"{path} must hold {', '.join(ARRAYS)}, but holds {', '.join(names)}.")
    for source in ("train", "test"):
        images, labels = got[f"{source}_images"], got[f"{source}_labels"]
        if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
            rule = f"{source}_images in {path} must be uint8, N x H x W x C, with none of them 0"
            raise DataError(f"{rule}, but is {images.dtype} of shape {images.shape}.")
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            rule = f"{source}_labels in {path} must be {len(images)} whole numbers, one an image"
            raise DataError(f"{rule}, but is {labels.dtype} of shape {labels.shape}.")
        got[f"{source}_labels"] = labels = labels.astype(np.int64)
        if labels.min() < 0:
            raise DataError(
                f"{source}_labels in {path} must count from 0, but has a {labels.min()}."
            )
    arrays = Arrays(**got)
    train, test = arrays.train_images.shape[1:], arrays.test_images.shape[1:]
    if train != test:
        raise DataError(f"Images in {path} must be of one shape, but are {train} and {test}.")
    return arrays


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
        with _alone(made.parent):
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
        with _replacing(_file(made, name)) as file:
            np.save(file, getattr(arrays, name))
    meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    with _replacing(made / META) as file:
        file.write(json.dumps(asdict(meta), indent=2).encode())


def _file(made: Path, name: str) -> Path:
    return made / f"{name.replace('_', '-')}.npy"


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when it is whole, and only then."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the lock goes with its holder, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another process prepares data in {folder}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
