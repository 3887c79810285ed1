"""Small made-up things that several tests use."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from sweeps.engine.progress import Progress
from trainer.metrics import EpochResult
from trainer.tracking.record import RunRecord


def numbered(train: int = 40, test: int = 20) -> dict[str, np.ndarray]:
    """Arrays in which the first byte of image i is i, in the training images from 100 on."""
    arrays = {}
    for source, first, count in (("train", 100, train), ("test", 0, test)):
        images = np.zeros((count, 4, 4, 3), np.uint8)
        images[:, 0, 0, 0] = np.arange(first, first + count)
        arrays[f"{source}_images"] = images
        arrays[f"{source}_labels"] = np.arange(count) % 7
    return arrays


def npz(path: Path, **changes: object) -> str:
    """The numbered arrays in a file, with changes; None leaves an array out."""
    arrays = {**numbered(), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def pictures(folder: Path, classes: dict[str, int]) -> None:
    """So many PNGs, 6 wide and 4 high, a class: 0.png, 1.png, ... 9.png, a.png, ..."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.random.default_rng([number, *name.encode()]).integers(0, 256, (4, 6, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / name / f"{number:x}.png")


def result(epoch: int = 1, **changes: object) -> EpochResult:
    """What an epoch of an ordinary run gives, with changes."""
    plain = EpochResult(
        epoch=epoch,
        values={
            "running_loss": 4.6,
            "train_loss": 2.3,
            "val_loss": 2.2,
            "val_accuracy": 0.25,
            "lr": 0.01,
            "epoch_seconds": 0.5,
            "images_per_second": 200.0,
            "first_batch_loss": 2.4,
        },
        state_digest="ab" * 32,
        trained_for="run",
        worker="host:7",
        ended_at=1_700_000_000.5 + epoch,
    )
    return changed(plain, **changes)


def changed(result: EpochResult, **changes: Any) -> EpochResult:
    """The result with other fields, or other values of its metrics."""
    own = {name: changes.pop(name) for name in [*changes] if name in result.values}
    return replace(result, values={**result.values, **own}, **changes)


@contextmanager
def disk_that_is_full_after(size: int) -> Iterator[None]:
    """Writing more than so many bytes to a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Said:
    """A view that remembers what it was told to say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Remember it."""
        self.lines.append(line)


class Shown:
    """A tracker that remembers every record it was shown."""

    def __init__(self) -> None:
        self.records: list[RunRecord] = []

    def sync(self, record: RunRecord) -> None:
        """Remember it."""
        self.records.append(record)

    def is_whole(self, record: RunRecord) -> bool:
        """Whether it was shown last."""
        return bool(self.records) and self.records[-1] == record

    def unfinished(self, group: str) -> None:
        """Nothing is taken up."""

    def told(self) -> list[tuple[str, int]]:
        """State and number of epochs of each record, in order."""
        return [(record.state, len(record.results)) for record in self.records]


def network() -> nn.Sequential:
    """The tutorial's layers, in plain torch."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.Linear(64, 10),
    )
