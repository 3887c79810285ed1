"""Data sets: prepared once as memory-mapped bytes, then sliced into what one run works with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import cifar10
from trainer.arrays import Arrays, Meta, keep, open_kept, read_npz
from trainer.config import DATASETS, SPLITS
from trainer.errors import DataError, unknown


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


def prepare(dataset: str, folder: Path) -> None:
    """Have `dataset` lie whole in `folder`; called by the parent before its workers start.

    Args:
        dataset: a name in `DATASETS`, or the path of an `.npz`, which is only checked.
        folder: of all prepared data sets.

    Raises:
        DataError: it cannot be had, or `folder` cannot be written.
    """
    if dataset.endswith(".npz"):
        read_npz(Path(dataset))
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
        arrays = read_npz(Path(dataset))
        meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    else:
        arrays, meta = open_kept(folder / dataset)

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


def _digits() -> Arrays:
    """Scikit-learn's 8 x 8 digits of 17 greys, as large and colourful as CIFAR-10's images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images * 15).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images, labels = grey[..., None].repeat(3, axis=3), digits.target.astype(np.uint8)
    return Arrays(images[:1297], labels[:1297], images[1297:], labels[1297:])


def _sha256(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
