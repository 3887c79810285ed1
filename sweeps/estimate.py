"""What a sweep would train, for how long and on how much disk, from timing a few batches."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import torch

from sweeps.config import SweepConfig
from sweeps.progress import duration
from sweeps.session import Places, resolved, slots
from trainer.config import TrainConfig
from trainer.data import Data, load, prepare
from trainer.device import hold_still, synchronize
from trainer.epoch import Resident, train_epoch
from trainer.model import build_model
from trainer.optim import build_optimizer
from trainer.paths import Paths
from trainer.store import BUDGET

_WARM_UP_BATCHES = 3
_TIMED_BATCHES = 10


def estimate(config: SweepConfig, places: Places) -> str:
    """A few lines for people: the most that would be trained, how long that takes, and the disk.

    Raises:
        DataError: the data set cannot be had.
    """
    config = replace(config, train=resolved(config.train))
    train = config.train
    folder = places.data or Paths.here().data
    prepare(train.dataset, folder)
    data = load(train.dataset, train.split, train.limit, folder)
    epoch_seconds, state_bytes = _measure(train, data)
    most = config.trials * train.epochs
    at_once = slots(config)
    lines = [
        f"study {config.study}: {config.trials} trials of up to {train.epochs} epochs "
        f"on {len(data.train.labels)} images of {data.name}, validated on {len(data.val.labels)}",
        f"one epoch: {epoch_seconds:.1f} s on one worker; {at_once} at once",
        f"at most {most} epochs, {duration(most * epoch_seconds / at_once)}; "
        "pruned trials and shared epochs make it less",
        f"disk: {min(most * state_bytes, BUDGET) / 1e6:.0f} MB of states at most, "
        f"{2 * config.trials * state_bytes / 1e6:.0f} MB of checkpoints at most",
    ]
    return "\n".join(lines)


def _measure(train: TrainConfig, data: Data) -> tuple[float, int]:
    """Seconds of an epoch, and bytes of a state (of Adam, which keeps the most)."""
    hold_still(train.device, train.threads)
    model = build_model(train.seed, data.classes, data.train.images.shape[3])
    model.to(train.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer("Adam", model.parameters(), train.lr, {}, train.device)
    count = min(_TIMED_BATCHES * train.batch_size, len(data.train.labels))
    some = Resident(
        images=torch.from_numpy(data.train.images[:count]).to(train.device),
        labels=torch.from_numpy(data.train.labels[:count]).to(train.device),
    )
    warm = Resident(
        images=some.images[: _WARM_UP_BATCHES * train.batch_size],
        labels=some.labels[: _WARM_UP_BATCHES * train.batch_size],
    )
    train_epoch(model, optimizer, warm, None, train.batch_size)
    synchronize(train.device)
    began = time.perf_counter()
    train_epoch(model, optimizer, some, None, train.batch_size)
    synchronize(train.device)
    seconds = (time.perf_counter() - began) / count * len(data.train.labels)
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    return seconds, buffer.tell()
