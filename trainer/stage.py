"""`train_stage`: an epoch looked up in the store, and trained where it is missing."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.data import Data, Part, load
from trainer.device import hold_still, synchronize
from trainer.epoch import Resident, train_epoch, validate
from trainer.errors import PlatformMismatch
from trainer.killpoints import passing
from trainer.metrics import EpochResult
from trainer.model import build_model
from trainer.optim import build_optimizer, load_optimizer, moved, set_rates
from trainer.plan import Stage, digest, plan
from trainer.store import DamagedState, StageStore


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What `train_stage` gives.

    Attributes:
        result: of the epoch asked for.
        passed_again: epochs trained once more because their states were no longer stored.
        notes: what a person should know, one sentence each.
    """

    result: EpochResult
    passed_again: int = 0
    notes: tuple[str, ...] = ()


def train_stage(
    config: TrainConfig,
    epoch: int,
    store: StageStore,
    folder: Path,
    *,
    trained_for: str = "",
    expect: str | None = None,
    with_state: bool = False,
) -> Trained:
    """The result of epoch `epoch` of `config`, looked up in `store` or trained and kept there.

    What is missing is trained forward from the nearest stored state before it.

    Args:
        config: with its device resolved.
        epoch: counted from 1, at most `config.epochs`.
        store: where stages are looked up and kept.
        folder: of the prepared data sets.
        trained_for: id of the run that asks; kept in the results this call makes.
        expect: the result key the asker computed, refused where this machine has another.
        with_state: whether the state after the epoch must be stored too when this returns.

    Raises:
        PlatformMismatch: this machine would give other numbers than `expect` promises.
        DataError: the data is not prepared.
        StoreError: the store cannot be written.
    """
    hold_still(config.device, config.threads)
    data = _data(config.dataset, config.split, config.limit, folder)
    stages = plan(config, data)
    goal = stages[epoch]
    if expect is not None and expect != goal.result_key:
        raise PlatformMismatch(
            f"Worker {worker_name()} must be a machine like the one that asks, but it would give "
            "other numbers (processor, GPU, torch version or data differ)."
        )
    stored = store.result(goal.result_key)
    if stored is not None and (not with_state or store.has_state(goal.key)):
        return Trained(result=stored)

    model = build_model(config.seed, data.classes, data.train.images.shape[3])
    model.to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(
        config.optimizer, model.parameters(), config.lr, config.optimizer_args, config.device
    )
    start, notes = _take_up(stages[1:epoch], store, model, optimizer)
    names = moved([stage.rates for stage in stages[1:]])
    passed_again = 0
    for stage in stages[start + 1 : epoch + 1]:
        set_rates(optimizer, stage.rates, names)
        result, state = _train(config, stage, data, model, optimizer, trained_for)
        recorded = store.result(stage.result_key)
        if recorded is not None and recorded.state_digest != result.state_digest:
            notes.append(
                f"Epoch {stage.epoch} trained again on {result.worker} did not give the bits that "
                f"{recorded.worker} recorded; the recorded numbers stand."
            )
        store.put_state(stage.key, state)
        passing("state-written")
        if recorded is None:
            store.put_result(stage.result_key, result)
            passing("result-written")
        else:
            result = recorded
            passed_again += 1
    return Trained(result=result, passed_again=passed_again, notes=tuple(notes))


def worker_name() -> str:
    """This process, as people find it: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of all that is drawn in an epoch: 63 bits of SHA-256 of "seed epoch"."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:8], "big") >> 1


def _take_up(
    earlier: Sequence[Stage], store: StageStore, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, list[str]]:
    """Load the latest stored state of `earlier` into both; its epoch (0: none stored) and notes."""
    notes: list[str] = []
    for stage in reversed(earlier):
        try:
            state = store.state(stage.key)
        except DamagedState as damage:
            notes.append(str(damage))
            continue
        if state is not None:
            model.load_state_dict(state["model"])
            load_optimizer(optimizer, state["optimizer"])
            return stage.epoch, notes
    return 0, notes


def _train(
    config: TrainConfig,
    stage: Stage,
    data: Data,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    trained_for: str,
) -> tuple[EpochResult, dict[str, Any]]:
    """Train and validate one epoch: its result, and the state after it."""
    train = _resident(data.train, config.device)
    seed = epoch_seed(config.seed, stage.epoch)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    order = None
    if config.shuffle:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(train.labels), generator=generator).to(config.device)

    synchronize(config.device)
    began = time.perf_counter()
    running, mean, first = train_epoch(model, optimizer, train, order, config.batch_size)
    synchronize(config.device)
    seconds = time.perf_counter() - began

    val_loss, val_accuracy = validate(model, _resident(data.val, config.device))
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    result = EpochResult(
        epoch=stage.epoch,
        running_loss=running,
        train_loss=mean,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        lr=float(stage.rates["lr"]),
        epoch_seconds=seconds,
        images_per_second=len(train.labels) / seconds,
        first_batch_loss=first,
        state_digest=digest(state),
        trained_for=trained_for,
        worker=worker_name(),
        ended_at=time.time(),
    )
    return result, state


@lru_cache(maxsize=2)
def _data(dataset: str, split: str, limit: int | None, folder: Path) -> Data:
    return load(dataset, split, limit, folder)


_on_device: dict[tuple[str, str], Resident] = {}


def _resident(part: Part, device: str) -> Resident:
    """The part as tensors on the device, kept between stages; at most two parts are."""
    name = (part.digest, device)
    if name not in _on_device:
        while len(_on_device) >= 2:
            _on_device.pop(next(iter(_on_device)))
        images = torch.from_numpy(part.images).to(device)
        labels = torch.from_numpy(part.labels).to(device)
        _on_device[name] = Resident(images=images, labels=labels)
    return _on_device[name]
