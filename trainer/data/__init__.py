"""Data sets: prepared once as memory-mapped arrays, then sliced for one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data import cifar10, own_arrays, torchvision_sets
from trainer.data.arrays import Arrays, Inputs, Labels, Meta, ensure_arrays, open_arrays
from trainer.data.folder import find_images, read
from trainer.data.resize import resize
from trainer.errors import DataError, unknown
from trainer.settings.config import DATASETS, SPLITS
from trainer.settings.fields import REFERENCE
from trainer.settings.references import code_digest, is_reference


@dataclass(frozen=True, kw_only=True)
class Part:
    """One slice of a data set.

    Attributes:
        images: images, N x H x W x C of uint8, or other inputs, N x ... of float32, or N x L of
            int64; memory-mapped copy-on-write if they were prepared on disk.
        labels: N class indices (int64), or N x K regression targets (float32).
        digest: hash of the SHA-256 of the source arrays and of the range; independent of the path.
    """

    images: Inputs
    labels: Labels
    digest: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training, validation and (split "train" only) test data of one run.

    Attributes:
        name: display name of the data set.
        classes: number of classes; for regression, the number K of targets.
        train: data to train on.
        val: data to validate on after each epoch.
        test: data to measure the winner on.
    """

    name: str
    classes: int
    train: Part
    val: Part
    test: Part | None

    @property
    def is_classification(self) -> bool:
        """Whether labels are classes rather than regression targets."""
        return self.train.labels.dtype.kind != "f"

    @property
    def are_images(self) -> bool:
        """Whether inputs are uint8 images; other inputs reach the network unchanged."""
        return self.train.images.dtype == np.uint8

    @property
    def channels(self) -> int:
        """Number of image channels; for other inputs, the size of their first dimension."""
        shape = self.train.images.shape
        return int(shape[3] if self.are_images else shape[1] if len(shape) > 1 else 1)

    @property
    def digest(self) -> str:
        """Hash of training and validation data, 32 hex digits: MLflow allows 36 characters."""
        return _sha256(self.train.digest, self.val.digest)[:32]


_NOTHING = Part(images=np.empty((0, 1), np.float32), labels=np.empty(0, np.int64), digest="")

NO_DATA = Data(name="", classes=0, train=_NOTHING, val=_NOTHING, test=None)
"""The data of a training loop that reads its own."""


def prepare(dataset: str, folder: Path, image_size: int | None = None) -> None:
    """Download or convert `dataset` into `folder`, unless it is there; call before workers start.

    Args:
        dataset: one of

            - a name in `DATASETS`;
            - a folder of images, see `trainer.data.folder.find_images`. The prepared copy is named
              by a hash of the images' names, sizes and modification times, so a changed folder is
              prepared again; earlier copies are not deleted;
            - the path of an `.npz`, which is only checked;
            - a reference to a function without arguments that returns the four arrays by name. It
              is called once for each version of its code, or again after its copy was deleted.
        folder: parent folder of all prepared data sets.
        image_size: height and width in pixels to resize images to; None: no resizing.

    Raises:
        DataError: the data set is not available or invalid, or `folder` is not writable.
        ConfigError: the function does not exist.
    """
    if dataset.endswith(".npz"):
        _read_npz(dataset, image_size)
    else:
        for step in _steps(dataset, folder, image_size):
            ensure_arrays(step.made, step.make, step.sha256)


def load(
    dataset: str, split: str, limit: int | None, folder: Path, image_size: int | None = None
) -> Data:
    """Load a data set that was prepared in `folder`; an `.npz` is read from its own path.

    Split "test" trains on the test images and validates on the first training images, a fifth as
    many. Split "train" validates on the last tenth of the training images and trains on the rest.
    `limit` trains on the first N images only and validates on N/5.

    Raises:
        DataError: the data set is not prepared, or has too few images.
        ConfigError: the module of the function that makes the data set does not exist.
    """
    if split not in SPLITS:
        raise DataError(unknown("split", split, SPLITS))
    if dataset.endswith(".npz"):
        arrays = _read_npz(dataset, image_size)
        meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    else:
        arrays, meta = open_arrays(_steps(dataset, folder, image_size)[-1].made)

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
        images, labels = getattr(arrays, f"{source}_images"), getattr(arrays, f"{source}_labels")
        digests = [meta.sha256[f"{source}_{kind}"] for kind in ("images", "labels")]
        facts = [*digests, images.shape[1:], start, stop]
        targets = labels.dtype.kind == "f"
        if images.dtype != np.uint8 or targets:  # omitted otherwise: existing digests stay valid
            facts += [str(images.dtype), str(labels.dtype), labels.shape[1:]]
        return Part(
            images=images[start:stop],
            labels=labels[start:stop].astype(np.float32 if targets else np.int64),
            digest=_sha256(*facts),
        )

    return Data(
        name=_name(dataset),
        classes=meta.classes,
        train=part(split, 0, n),
        val=part("train", val_start, val_start + val),
        test=part("test", 0, tests) if split == "train" else None,
    )


@dataclass(frozen=True)
class _Step:
    """One preparation step: `make` returns the arrays to store in folder `made`.

    `sha256` is the expected digest of each array, where it is known beforehand.
    """

    made: Path
    make: Callable[[], Arrays]
    sha256: Mapping[str, str] | None = None


def _steps(dataset: str, folder: Path, image_size: int | None) -> list[_Step]:
    """Preparation steps of a data set, in order; the last one stores the data set itself."""
    made = folder / dataset
    if dataset == "cifar10":
        original = _Step(
            made, lambda: cifar10.fetch(folder, cifar10.sources(folder)), cifar10.SHA256
        )
    elif dataset == "digits":
        original = _Step(made, _digits)
    elif dataset in torchvision_sets.NAMES:
        original = _Step(
            made, lambda: torchvision_sets.fetch(torchvision_sets.dataset_class(dataset), folder)
        )
    elif is_reference(dataset):
        code = _sha256(dataset, code_digest(dataset, "dataset"))[:16]
        name = f"{dataset.rpartition(':')[2]}-{code}"
        original = _Step(folder / name, lambda: own_arrays.call(dataset))
    elif "/" in dataset or Path(dataset).is_dir():
        images = find_images(Path(dataset))
        name = f"{_name(dataset)}-{images.fingerprint(image_size)}"
        return [_Step(folder / name, lambda: read(images, image_size, folder))]
    else:
        raise DataError(unknown("dataset", dataset, (*DATASETS, "FOLDER/", "PATH.npz", REFERENCE)))
    if image_size is None:
        return [original]
    made = folder / f"{original.made.name}-{image_size}"
    return [
        original,
        _Step(made, lambda: resize(open_arrays(original.made)[0], image_size, dataset, folder)),
    ]


def _read_npz(dataset: str, image_size: int | None) -> Arrays:
    arrays = own_arrays.read_npz(Path(dataset))
    return arrays if image_size is None else resize(arrays, image_size, dataset)


def _name(dataset: str) -> str:
    """Display name of a data set."""
    if dataset in DATASETS or is_reference(dataset):
        return dataset
    return Path(dataset).stem if dataset.endswith(".npz") else Path(dataset).resolve().name


def _digits() -> Arrays:
    """Scikit-learn's digits (8 x 8, 17 greys) in CIFAR-10's format: 32 x 32 pixels, RGB."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images * 15).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images, labels = grey[..., None].repeat(3, axis=3), digits.target.astype(np.uint8)
    return Arrays(images[:1297], labels[:1297], images[1297:], labels[1297:])


def _sha256(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
