"""One start of a sweep: opens everything, lets the coordinator work, and leaves everything whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sweeps.config import SweepConfig
from sweeps.coordinator import Coordinator
from sweeps.delivery import Delivery
from sweeps.errors import SweepError
from sweeps.executors import Executor, InlineExecutor, LocalExecutor
from sweeps.frames import EXPERIMENT
from sweeps.progress import Progress, View, duration
from sweeps.study import OpenStudy, open_study
from sweeps.trials import Trials
from trainer.config import TrainConfig
from trainer.data import load, prepare
from trainer.device import resolve_device
from trainer.paths import Paths
from trainer.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, RunRecord
from trainer.store import StageStore
from trainer.tracking import STUDY_TAG, MlflowTracker

OBJECTIVE_TAG = "sweep.objective"
TRIALS_TAG = "sweep.trials"

_DRAIN_SECONDS = 600.0
_INTERRUPTED_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a sweep keeps things, where that is not the working folder.

    Attributes:
        tracking_uri: of MLflow.
        storage: a storage URL of Optuna's.
        stages: folder or URL of the stage store.
        data: folder of the data sets.
    """

    tracking_uri: str | None = None
    storage: str | None = None
    stages: str | None = None
    data: Path | None = None


def run_sweep(config: SweepConfig, places: Places, view: View) -> bool:
    """Run the sweep, or go on with it; False where its time was up before it had all its trials.

    Raises:
        SweepError: the study cannot be run, or MLflow did not take all of it.
        TrainerError: nothing can be trained here.
        KeyboardInterrupt: as it came; all is left so that the next start goes on from here.
    """
    paths = Paths.here()
    config = replace(config, train=resolved(config.train))
    folder = places.data or paths.data
    prepare(config.train.dataset, folder)
    data = load(config.train.dataset, config.train.split, config.train.limit, folder)
    store = StageStore(places.stages or paths.stages)
    study = open_study(config, paths, places.storage)
    tracker = MlflowTracker(
        places.tracking_uri or paths.tracking_uri, EXPERIMENT, paths.artifacts(EXPERIMENT), store
    )
    if study.set_aside is not None:
        name, group = study.set_aside
        tracker.rename_study(group, name)
        view.say(f"The study that was called {config.study} is now called {name}.")
    delivery = Delivery(tracker)
    delivery.put(_parent(config, study, RUNNING))
    trials = Trials(config, study, data, store)
    with _executor(config) as executor:
        coordinator = Coordinator(
            config, study, trials, executor, store, folder, delivery, view
        )
        try:
            done = coordinator.run()
        except BaseException as error:
            state = FAILED if isinstance(error, Exception) else INTERRUPTED
            executor.stop()
            _end(delivery, coordinator, _parent(config, study, state, coordinator.progress), short=True)
            raise
    left = _end(
        delivery,
        coordinator,
        _parent(config, study, COMPLETE if done else INTERRUPTED, coordinator.progress),
        short=False,
    )
    study.lease.release()
    if left:
        raise SweepError(
            f"MLflow did not take {left} runs: {delivery.problem}. Nothing is lost; "
            "the same command delivers them."
        )
    return done


def resolved(train: TrainConfig) -> TrainConfig:
    """The config with the device this machine has for it."""
    return replace(train, device=resolve_device(train.device))


def slots(config: SweepConfig) -> int:
    """How many stages the sweep trains at once on this machine."""
    if config.executor == "inline":
        return 1
    if config.workers:
        return config.workers
    if config.train.device == "cuda":
        return 1
    return max(1, len(os.sched_getaffinity(0)) // config.train.threads)


@contextmanager
def _executor(config: SweepConfig) -> Iterator[Executor]:
    executor = InlineExecutor() if config.executor == "inline" else LocalExecutor(slots(config))
    try:
        yield executor
    finally:
        executor.stop()


def _end(delivery: Delivery, coordinator: Coordinator, parent: RunRecord, *, short: bool) -> int:
    """Deliver what is left, the parent last; how many runs could not be delivered."""
    for record in coordinator.interrupted():
        delivery.put(record)
    delivery.put(parent)
    return delivery.drain(_INTERRUPTED_DRAIN_SECONDS if short else _DRAIN_SECONDS)


def _parent(
    config: SweepConfig, study: OpenStudy, state: str, progress: Progress | None = None
) -> RunRecord:
    """The record of the study's own run."""
    about = {"study": config.study, "trials": config.trials, **config.settings()}
    about["direction"] = "maximize" if config.maximize else "minimize"
    record = RunRecord(
        id=study.id,
        group=study.id,
        name=config.study,
        started_at=study.created_at,
        tags={
            STUDY_TAG: config.study,
            OBJECTIVE_TAG: config.objective,
            TRIALS_TAG: str(config.trials),
        },
        files={"study.json": json.dumps(about, indent=2)},
    )
    if progress is None:
        return record
    note = [f"**{progress.done} of {config.trials} trials**: {progress.counts()}"]
    if progress.best is not None:
        best = progress.best
        record = replace(record, metrics={f"best_{config.objective}": best.value})
        note.append(f"**Best {config.objective} {best.value:.4f}**: trial {best.trial}, {best.label}")
    note.append(
        f"Epochs: {progress.trained} trained, {progress.reused} reused; "
        f"the last start took {duration(progress.seconds)}"
    )
    tags = {**record.tags, "mlflow.note.content": "\n\n".join(note)}
    return replace(record, tags=tags).ended(state, config.objective, {})
