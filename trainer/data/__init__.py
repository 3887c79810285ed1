"""Data sets: prepared once as memory-mapped bytes, then sliced into what one run works with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data import cifar10, own_arrays, torchvision_sets
from trainer.data.arrays import Arrays, Inputs, Labels, Meta, keep, open_kept
from trainer.data.folder import find_images, read
from trainer.data.resize import resized
from trainer.errors import DataError, unknown
from trainer.settings.config import DATASETS, SPLITS
from trainer.settings.fields import REFERENCE
from trainer.settings.references import code_digest, find, is_reference


@dataclass(frozen=True, kw_only=True)
class Part:
    """One slice of a data set.

    Attributes:
        images: N x H x W x C of uint8, or other inputs, N x ... of float32; memory-mapped where
            prepared on disk (copy-on-write).
        labels: N classes (int64), or N x K targets of a regression (float32).
        digest: of the source arrays' SHA-256 and the range, wherever the files lie.
    """

    images: Inputs
    labels: Labels
    digest: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run trains on, validates on, and (split "train" only) is measured on at the end.

    Attributes:
        name: of the data set, for people.
        classes: how many there are; of targets, K.
        train: what is trained on.
        val: what is validated on.
        test: what is measured on at the end.
    """

    name: str
    classes: int
    train: Part
    val: Part
    test: Part | None

    @property
    def is_classification(self) -> bool:
        """Whether labels are classes, and not the targets of a regression."""
        return self.train.labels.dtype.kind != "f"

    @property
    def are_images(self) -> bool:
        """Whether inputs are images of bytes; others are given to the network as they are."""
        return self.train.images.dtype == np.uint8

    @property
    def channels(self) -> int:
        """Colours of images; of other inputs the size of their first dimension."""
        shape = self.train.images.shape
        return int(shape[3] if self.are_images else shape[1] if len(shape) > 1 else 1)

    @property
    def digest(self) -> str:
        """Of training and validation data, in 32 hexadecimal digits: MLflow takes up to 36."""
        return _sha256(self.train.digest, self.val.digest)[:32]


def prepare(dataset: str, folder: Path, image_size: int | None = None) -> None:
    """Have `dataset` lie whole in `folder`; called by the parent before its workers start.

    A data set may be:

    - a name in `DATASETS`;
    - a folder of images, as `trainer.data.folder.find_images` has it. It is prepared under a hash
      of the images' names, sizes and times, so a changed folder is prepared anew; what was prepared
      from it earlier stays until somebody deletes it;
    - the path of an `.npz`, which is only checked;
    - a reference to a function of no arguments that gives the four arrays by name, as an `.npz`
      does. It is called once for each state of its code; deleting what was prepared makes it be
      called again.

    Args:
        dataset: one of these.
        folder: of all prepared data sets.
        image_size: height and width, in pixels, that images are brought to; None: they stay.

    Raises:
        DataError: it cannot be had, or `folder` cannot be written.
        ConfigError: there is no such function.
    """
    if dataset.endswith(".npz"):
        _read_npz(dataset, image_size)
    else:
        for step in _steps(dataset, folder, image_size):
            keep(step.made, step.make, step.sha256)


def load(
    dataset: str, split: str, limit: int | None, folder: Path, image_size: int | None = None
) -> Data:
    """The parts of a data set that is prepared in `folder`; an `.npz` is read where it lies.

    Split "test" trains on the test images and validates on the first training images, a fifth as
    many. Split "train" holds back the last tenth of the training images and trains on the rest.
    `limit` trains on the first so many only, and validates on a fifth as many.

    Raises:
        DataError: the data set is not prepared, or has too few images.
        ConfigError: there is no such function.
    """
    if split not in SPLITS:
        raise DataError(unknown("split", split, SPLITS))
    if dataset.endswith(".npz"):
        arrays = _read_npz(dataset, image_size)
        meta = Meta(classes=arrays.classes, sha256=arrays.digests())
    else:
        arrays, meta = open_kept(_steps(dataset, folder, image_size)[-1].made)

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
        if images.dtype != np.uint8 or targets:  # else as they were when there was nothing else
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
    """Arrays that `make` gives and that are kept in folder `made`, with this SHA-256 if known."""

    made: Path
    make: Callable[[], Arrays]
    sha256: Mapping[str, str] | None = None


def _steps(dataset: str, folder: Path, image_size: int | None) -> list[_Step]:
    """What has to be kept for a data set; the last is the data set itself."""
    if dataset in DATASETS:
        whole = _Step(folder / dataset, lambda: _make(dataset, folder))
        if dataset == "cifar10":
            whole = replace(whole, sha256=cifar10.SHA256)
        return [whole, *_at_size(whole.made, dataset, folder, image_size)]
    if is_reference(dataset):
        find("dataset", dataset)  # says what is wrong with it
        state = _sha256(dataset, code_digest(dataset))[:16]
        name = f"{dataset.rpartition(':')[2]}-{state}"
        whole = _Step(folder / name, lambda: own_arrays.call(dataset))
        return [whole, *_at_size(whole.made, dataset, folder, image_size)]
    if "/" in dataset or Path(dataset).is_dir():
        images = find_images(Path(dataset))
        name = f"{_name(dataset)}-{images.fingerprint(image_size)}"
        return [_Step(folder / name, lambda: read(images, image_size, folder))]
    raise DataError(unknown("dataset", dataset, (*DATASETS, "FOLDER/", "PATH.npz", REFERENCE)))


def _at_size(whole: Path, name: str, folder: Path, image_size: int | None) -> list[_Step]:
    """How the data set kept in `whole` is brought to another size; nothing where it stays."""
    if image_size is None:
        return []
    made = whole.with_name(f"{whole.name}-{image_size}")
    return [_Step(made, lambda: resized(open_kept(whole)[0], image_size, name, folder))]


def _make(name: str, folder: Path) -> Arrays:
    if name == "cifar10":
        return cifar10.fetch(folder, cifar10.sources(folder))
    if name == "digits":
        return _digits()
    return torchvision_sets.fetch(torchvision_sets.source_of(name), folder)


def _read_npz(dataset: str, image_size: int | None) -> Arrays:
    arrays = own_arrays.read_npz(Path(dataset))
    return arrays if image_size is None else resized(arrays, image_size, dataset)


def _name(dataset: str) -> str:
    """A data set's name, for people."""
    if dataset in DATASETS or is_reference(dataset):
        return dataset
    return Path(dataset).stem if dataset.endswith(".npz") else Path(dataset).resolve().name


def _digits() -> Arrays:
    """Scikit-learn's 8 x 8 digits of 17 greys, as large and colourful as CIFAR-10's images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images * 15).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images, labels = grey[..., None].repeat(3, axis=3), digits.target.astype(np.uint8)
    return Arrays(images[:1297], labels[:1297], images[1297:], labels[1297:])


def _sha256(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
