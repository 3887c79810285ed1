"""`train_stage`: look up an epoch in the store, or train it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.data import NO_DATA, Data, load, prepare
from trainer.errors import PlatformMismatch
from trainer.killpoints import passing
from trainer.metrics import EPOCH_SECONDS, EpochResult
from trainer.settings.apart import apart
from trainer.settings.config import TrainConfig
from trainer.settings.references import is_reference, unload_changed
from trainer.stages.plan import Plan, Stage, plan, plan_of
from trainer.stages.store import DamagedState, StageStore
from trainer.training.device import assume_platform, set_determinism, synchronize
from trainer.training.loop import build
from trainer.training.recipe import Recipe, UserRecipe, recipe_of
from trainer.training.state import digest
from trainer.training.trainable import Trainable


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What `train_stage` returns.

    Attributes:
        result: of the requested epoch.
        retrained: epochs that were trained again because their states were evicted.
        notes: messages for the user, one sentence each.
    """

    result: EpochResult
    retrained: int = 0
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
    """Return the result of an epoch, from the store or by training.

    Missing epochs are trained from the nearest earlier state in the store.

    Args:
        config: with its device resolved.
        epoch: counted from 1, at most `config.epochs`.
        store: of results and states.
        folder: of the prepared data sets.
        trained_for: id of the run that requests the epoch; stored in new results.
        expect: the result key that the caller computed; raises if this machine computes another.
        with_state: make sure that the state after the epoch is stored, too.

    Raises:
        PlatformMismatch: this machine would compute other numbers than the caller's.
        DataError: the data is not prepared.
        StoreError: the store cannot be written.
    """
    set_determinism(config.device, config.threads, deterministic=config.deterministic)
    recipe = recipe_of(config, data_of(config, folder))
    stages = plan(recipe)
    earlier: list[Trained] = []
    while len(stages) <= epoch:  # the schedule depends on results, which are known that far only
        earlier.append(_have(recipe, stages, store, trained_for, with_state=False))
        stages = plan(recipe, [trained.result.val_loss for trained in earlier])
    stages = stages[: epoch + 1]
    if expect is not None and expect != stages[epoch].result_key:
        raise PlatformMismatch(
            f"Worker {worker_name()} must be a machine like the one that asks, but it would give "
            "other numbers (processor, GPU, torch version, data or code differ)."
        )
    last = _have(recipe, stages, store, trained_for, with_state=with_state)
    return replace(
        last,
        retrained=sum(trained.retrained for trained in (*earlier, last)),
        notes=tuple(note for trained in (*earlier, last) for note in trained.notes),
    )


def _have(
    recipe: Recipe | UserRecipe,
    stages: Sequence[Stage],
    store: StageStore,
    trained_for: str,
    *,
    with_state: bool,
) -> Trained:
    """The last of the stages, from the store or by training, here or in another process."""
    goal = stages[-1]

    def stored() -> Trained | None:
        result = store.result(goal.result_key)
        is_whole = result is not None and (not with_state or store.has_state(goal.key))
        return Trained(result=result) if result is not None and is_whole else None

    if found := stored():
        return found
    with store.claimed(goal.result_key):
        return stored() or _trained(recipe, stages, store, trained_for)


def _trained(
    recipe: Recipe | UserRecipe, stages: Sequence[Stage], store: StageStore, trained_for: str
) -> Trained:
    """The last of the stages, trained from the nearest earlier state."""
    training = build(recipe, [stage.rates for stage in stages[1:]])
    start, notes = _take_up(stages[1:-1], store, training)
    retrained = 0
    for stage in stages[start + 1 :]:
        result, state = _train(training, stage, recipe.config.device, trained_for)
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
            retrained += 1
    return Trained(result=result, retrained=retrained, notes=tuple(notes))


def data_of(config: TrainConfig, folder: Path) -> Data:
    """Load the data of a config from the prepared data sets in `folder`.

    Raises:
        DataError: it is not prepared, or has too few examples.
    """
    if config.trainable:
        return NO_DATA
    return _data(config.dataset, config.split, config.limit, config.image_size, folder)


def prepared_data(config: TrainConfig, folder: Path) -> Data:
    """Load the data of a config; it is prepared in `folder` if it is missing there.

    Raises:
        DataError: it cannot be had.
    """
    if not config.trainable:
        apart([config.dataset], prepare, config.dataset, folder, config.image_size, limited=False)
    return data_of(config, folder)


def plan_from(
    folder: Path,
    platform: Mapping[str, str],
    config: TrainConfig,
    val_losses: Sequence[float] = (),
) -> Plan:
    """The plan of a config, in a process that has neither its data nor the platform of its keys.

    Args:
        folder: of the prepared data sets.
        platform: facts of the machines that train.
        config: with its device resolved.
        val_losses: of its first epochs.

    Raises:
        ConfigError: it cannot be trained.
    """
    assume_platform(platform)
    return plan_of(data_of(config, folder), config, val_losses)


def renew(config: TrainConfig, references: Iterable[str] = ()) -> None:
    """Reload user code and data that changed since this process last used them.

    Call it at the start of a sweep or run; in a notebook both may have changed since the last one.

    Args:
        config: to be trained.
        references: to further user code.
    """
    everything = (*config.user_code, config.dataset, *references)
    unload_changed(filter(is_reference, everything))
    _data.cache_clear()


def worker_name() -> str:
    """This process as host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _take_up(
    earlier: Sequence[Stage], store: StageStore, training: Trainable
) -> tuple[int, list[str]]:
    """Load the latest stored state of `earlier`; return its epoch (0: none stored) and notes."""
    notes: list[str] = []
    for stage in reversed(earlier):
        try:
            state = store.state(stage.key)
        except DamagedState as damage:
            notes.append(str(damage))
            continue
        if state is not None:
            training.load_state_dict(state)
            return stage.epoch, notes
    return 0, notes


def _train(
    training: Trainable, stage: Stage, device: str, trained_for: str
) -> tuple[EpochResult, dict[str, Any]]:
    """Train and validate one epoch; return its result and the state after it."""
    synchronize(device)
    began = time.perf_counter()
    values = training.train_epoch(stage.epoch)
    synchronize(device)
    seconds = time.perf_counter() - began
    state = training.state_dict()
    result = EpochResult(
        epoch=stage.epoch,
        values={**values, EPOCH_SECONDS: values.get(EPOCH_SECONDS, seconds)},
        state_digest=digest(state),
        trained_for=trained_for,
        worker=worker_name(),
        ended_at=time.time(),
    )
    return result, state


@lru_cache(maxsize=2)
def _data(
    dataset: str, split: str, limit: int | None, image_size: int | None, folder: Path
) -> Data:
    return load(dataset, split, limit, folder, image_size)
