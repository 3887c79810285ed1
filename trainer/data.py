"""Data sets: prepared once as memory-mapped bytes, then sliced into what one run works with."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trainer import cifar10
from trainer.cifar10 import ARRAYS, Arrays, say
from trainer.config import DATASETS, SPLITS
from trainer.errors import DataError, unknown

META = "meta.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One slice of a data set.

    Attributes:
        images: N x H x W x C; memory-mapped where prepared on disk (copy-on-write).
        labels: N.
        digest: of the source arrays' SHA-256 and the range, wherever the files lie.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run trains on, validates on, and (split "train" only) is measured on at the end."""

    name: str
    classes: int
    train: Part
    val: Part
    test: Part | None

    @property
    def digest(self) -> str:
        """Of training and validation data, in 32 hexadecimal digits: MLflow takes up to 36."""
        return _sha256(self.train.digest, self.val.digest)[:32]


@dataclass(frozen=True, kw_only=True)
class _Meta:
    """What meta.json says; it is written last, so the arrays beside it were whole once."""

    classes: int
    sha256: Mapping[str, str]


def prepare(dataset: str, folder: Path) -> None:
    """Have `dataset` lie whole in `folder`; called by the parent before its workers start.

    Args:
        dataset: a name in `DATASETS`, or the path of an `.npz`, which is only checked.
        folder: of all prepared data sets.

    Raises:
        DataError: it cannot be had, or `folder` cannot be written.
    """
    if dataset.endswith(".npz"):
        _read_npz(Path(dataset))
    elif dataset == "cifar10":
        made = folder / dataset
        keep(made, lambda: cifar10.fetch(folder, cifar10.sources(folder)), cifar10.SHA256)
    elif dataset == "digits":
        keep(folder / dataset, _digits)
    else:
        raise DataError(unknown("dataset", dataset, (*DATASETS, "PATH.npz")))


def load(dataset: str, split: str, limit: int | None, folder: Path) -> Data:
    """The parts of a data set that is prepared in `folder`; an `.npz` is read where it lies.

    Split "test" trains on the test images and validates on the first training images, a fifth as
    many. Split "train" holds back the last tenth of the training images and trains on the rest.
    `limit` trains on the first so many only, and validates on a fifth as many.

    Raises:
        DataError: the data set is not prepared, or has too few images.
    """
    if split not in SPLITS:
        raise DataError(unknown("split", split, SPLITS))
    if dataset.endswith(".npz"):
        arrays = _read_npz(Path(dataset))
        meta = _Meta(classes=arrays.classes, sha256=arrays.digests())
    else:
        arrays, meta = _open(folder / dataset)

    trains, tests = len(arrays.train_images), len(arrays.test_images)
    held_back = trains // 10 if split == "train" else trains
    val_start = trains - held_back
    most = val_start if split == "train" else tests
    n = most if limit is None else limit
    if n > most:
        raise DataError(
            f"limit must be at most {most}, the images that split {split!r} of {dataset} trains "
            f"on, but got {n}."
        )
    val = min(n // 5, held_back)
    if val < 1:
        raise DataError(
            f"Split {split!r} of {dataset} must leave an image to validate on, but trains on {n} "
            f"and leaves none (it has {trains} training and {tests} test images); use more images."
        )

    def part(source: str, start: int, stop: int) -> Part:
        images, labels = f"{source}_images", f"{source}_labels"
        pixels: NDArray[np.uint8] = getattr(arrays, images)
        return Part(
            images=pixels[start:stop],
            labels=getattr(arrays, labels)[start:stop].astype(np.int64),
            digest=_sha256(meta.sha256[images], meta.sha256[labels], pixels.shape[1:], start, stop),
        )

    return Data(
        name=Path(dataset).stem,
        classes=meta.classes,
        train=part(split, 0, n),
        val=part("train", val_start, val_start + val),
        test=part("test", 0, tests) if split == "train" else None,
    )


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


def _digits() -> Arrays:
    """Scikit-learn's 8 x 8 digits of 17 greys, as large and colourful as CIFAR-10's images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images * 15).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images, labels = grey[..., None].repeat(3, axis=3), digits.target.astype(np.uint8)
    return Arrays(images[:1297], labels[:1297], images[1297:], labels[1297:])


def _read_npz(path: Path) -> Arrays:
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


def _fault(made: Path, sha256: Mapping[str, str] | None) -> str | None:
    """What is wrong with the prepared arrays, as a sentence; None if they are whole."""
    try:
        arrays, meta = _open(made)
    except DataError as error:
        return str(error)
    got = arrays.digests()
    for name in ARRAYS:
        if not got[name] == meta.sha256[name] == (sha256 or meta.sha256)[name]:
            return f"{_file(made, name)} is damaged: its SHA-256 is another."
    return None


def _open(made: Path) -> tuple[Arrays, _Meta]:
    if not (made / META).exists():
        raise DataError(
            f"Data set {made.name!r} must be prepared in {made} first, but is not; "
            "`trainer.data.prepare` does that."
        )
    try:
        meta = _Meta(**json.loads((made / META).read_text()))
        if sorted(meta.sha256) != sorted(ARRAYS):
            raise ValueError(f"{META} is not of these arrays")
        return Arrays(*(np.load(_file(made, name), mmap_mode="c") for name in ARRAYS)), meta
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{made} is damaged ({error}); prepare it again.") from error


def _write(made: Path, arrays: Arrays) -> None:
    made.mkdir(parents=True, exist_ok=True)
    (made / META).unlink(missing_ok=True)
    for name in ARRAYS:
        with _replacing(_file(made, name)) as file:
            np.save(file, getattr(arrays, name))
    meta = _Meta(classes=arrays.classes, sha256=arrays.digests())
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


def _sha256(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
