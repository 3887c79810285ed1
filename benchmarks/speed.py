"""Epochs of the default network: the trainer against plain PyTorch loops, in turns.

`python benchmarks/speed.py --device cuda --images 50000 --pairs 5`

Three ways train the same epochs of random images in one process, one after the other:

- `trainer`: `train_stage`, which validates, and stores the result and the state of each epoch.
- `resident`: a loop over tensors on the device, as careful as a user writes it; no validation.
- `loader`: the tutorial's loop over a DataLoader of normalized images in memory; no validation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trainer.data import load
from trainer.settings.config import TrainConfig
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore
from trainer.training.device import set_determinism, synchronize
from trainer.training.model import build_model

BATCH, RATE = 64, 0.01


def main() -> None:
    """Time all three ways in turns and print seconds an epoch and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=5, help="epochs of each way")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.npz")
        draw = np.random.default_rng(0)
        arrays = {}
        for name, size in (("train", given.images), ("test", 500)):
            arrays[f"{name}_images"] = draw.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
            arrays[f"{name}_labels"] = draw.integers(0, 10, size)
        np.savez(path, **arrays)
        config = TrainConfig(
            dataset=str(path), split="train", device=given.device, lr=RATE, batch_size=BATCH,
            epochs=given.pairs + 1,
        )  # fmt: skip
        ways = {
            "trainer": trainer(config, Path(folder)),
            "resident": resident(config, Path(folder)),
            "loader": loader(config, Path(folder)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.pairs + 1):
            for name, epochs in ways.items():
                start = time.perf_counter()
                next(epochs)
                synchronize(given.device)
                seconds[name].append(time.perf_counter() - start)
    ours = seconds["trainer"][1:]  # the first epoch loads kernels
    device = torch.cuda.get_device_name() if given.device == "cuda" else "CPU, one thread"
    print(f"{device}, torch {torch.__version__}, {given.images} images, n = {given.pairs}")
    for name, taken in seconds.items():
        ratios = sorted(mine / other for mine, other in zip(ours, taken[1:], strict=True))
        print(
            f"{name:10} {statistics.median(taken[1:]):.3f} s an epoch; trainer / {name} "
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def trainer(config: TrainConfig, folder: Path) -> Iterator[object]:
    """Epochs as a worker trains them."""
    store = StageStore(folder / "stages")
    for epoch in count(1):
        yield train_stage(config, epoch, store, folder)


def resident(config: TrainConfig, folder: Path) -> Iterator[None]:
    """Epochs over float images that are on the device."""
    images, labels = (it.to(config.device) for it in tensors(config, folder))
    step = stepper(config)
    while True:
        order = torch.randperm(len(labels)).to(config.device)
        running = torch.zeros((), device=config.device)
        for start in range(0, len(labels), BATCH):
            chosen = order[start : start + BATCH]
            running += step(images[chosen], labels[chosen])
        yield print(end="", flush=running.item() > 0)


def loader(config: TrainConfig, folder: Path) -> Iterator[None]:
    """Epochs over a DataLoader, with the loss read after each batch as the tutorial does."""
    batches = DataLoader(TensorDataset(*tensors(config, folder)), batch_size=BATCH, shuffle=True)
    step = stepper(config)
    while True:
        running = 0.0
        for images, labels in batches:
            running += step(images.to(config.device), labels.to(config.device)).item()
        yield


def tensors(config: TrainConfig, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images N x 3 x 32 x 32 (float32, 0 to 1, channels last) and their classes."""
    train = load(config.dataset, config.split, None, folder).train
    images = torch.from_numpy(np.asarray(train.images)).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(np.asarray(train.labels)).long()


def stepper(config: TrainConfig) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A step of SGD on a network of its own; returns the loss on the device."""
    set_determinism(config.device, config.threads)
    network = build_model(config.model, {}, config.seed, classes=10, channels=3)
    network.to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    measure = nn.CrossEntropyLoss()

    def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = measure(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


if __name__ == "__main__":
    main()
