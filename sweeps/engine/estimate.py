"""Estimate of a sweep's epochs, time and disk space, from a few timed batches."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from sweeps.engine.purity import brought
from sweeps.engine.user_code import user_code_apart
from sweeps.engine.workspace import open_data, ready, slots
from sweeps.report.showing import duration
from sweeps.search.allocation.grants import AllocatingPruner
from sweeps.search.pruning import make_pruner
from sweeps.settings.check import check_objectives
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from sweeps.study.kinds import Kinds
from trainer.errors import ConfigError
from trainer.settings.apart import apart
from trainer.settings.config import TrainConfig
from trainer.stages.sealed import packed
from trainer.stages.stage import data_of
from trainer.training.device import set_determinism, synchronize
from trainer.training.loop import Training, build
from trainer.training.recipe import Recipe, recipe_of

_WARM_UP_BATCHES = 3
_TIMED_BATCHES = 10


def estimate(config: SweepConfig, places: Places) -> str:
    """Lines for people: the most epochs that would be trained, their time, and the disk space.

    Raises:
        ConfigError: the sweep is not valid.
        DataError: the data set is not available.
    """
    if config.executor == "ray":
        raise ConfigError(
            "With --dry-run executor must be local or inline, as batches are timed in this "
            "process, but got 'ray'."
        )
    with user_code_apart(config, config.study_name):
        return _estimate(ready(config), places)


def _estimate(config: SweepConfig, places: Places) -> str:
    train = config.train
    folder, data = open_data(train, places)
    check_objectives(config, data)
    example = next(brought(config)) if train.trainable else train
    measure = _measure_own if train.trainable else _measure
    epoch_seconds, state_bytes = apart(train.user_code, measure, example, folder)
    trials = config.trials if config.grid is None else min(config.trials, len(config.grid))
    most = trials * train.epochs
    pruner = make_pruner(config.pruner, config.pruner_args, train.epochs)
    if isinstance(pruner, AllocatingPruner):
        outlook = Kinds(config, len(data.train.labels)).outlooks[0]
        most = pruner.most(outlook, trials) or most
    at_once = slots(config)
    images = (
        f" on {len(data.train.labels)} images of {data.name}, validated on {len(data.val.labels)}"
    )
    lines = [
        f"study {config.study_name}: {trials} trials of up to {train.epochs} epochs"
        + ("" if train.trainable else images),
        f"one epoch: {epoch_seconds:.1f} s on one worker; {at_once} at once",
        f"at most {most} epochs, {duration(most * epoch_seconds / at_once)}; "
        "trials that are not trained further and shared epochs make it less",
        f"disk: {min(most * state_bytes, places.state_bytes) / 1e6:.0f} MB of states at most, "
        f"{2 * trials * state_bytes / 1e6:.0f} MB of checkpoints at most",
    ]
    return "\n".join(lines)


def _measure(train: TrainConfig, folder: Path) -> tuple[float, int]:
    """Seconds of an epoch, and bytes of a state (of Adam, which keeps the most)."""
    config = replace(
        train, optimizer="Adam", optimizer_args={}, scheduler="none", scheduler_args={}, warmup=0
    )
    set_determinism(config.device, config.threads, deterministic=config.deterministic)
    data = data_of(config, folder)
    recipe = Recipe(config, data)
    training, rates = Training(recipe), recipe.rates()[0]
    training.train(1, rates, most=_WARM_UP_BATCHES)
    synchronize(config.device)
    began = time.perf_counter()
    training.train(1, rates, most=_TIMED_BATCHES)
    synchronize(config.device)
    images = len(data.train.labels)
    timed = min(_TIMED_BATCHES * config.batch_size, images)
    seconds = (time.perf_counter() - began) / timed * images
    return seconds, len(packed(training.state_dict()))


def _measure_own(train: TrainConfig, folder: Path) -> tuple[float, int]:
    """Seconds of the first epoch of a loop of the user's, and bytes of its state."""
    set_determinism(train.device, train.threads, deterministic=train.deterministic)
    training = build(recipe_of(train, data_of(train, folder)))
    began = time.perf_counter()
    training.train_epoch(1)
    synchronize(train.device)
    return time.perf_counter() - began, len(packed(training.state_dict()))
