"""One start of a sweep: opens all it needs, lets the coordinator work, leaves everything whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sweeps.engine import interrupts
from sweeps.engine.coordinator import Coordinator
from sweeps.engine.delivery import Delivery
from sweeps.engine.executors import Executor, InlineExecutor, LocalExecutor
from sweeps.engine.known import enqueue, known_points
from sweeps.engine.progress import Progress, View
from sweeps.engine.purity import is_pure
from sweeps.errors import SweepError
from sweeps.settings.check import check_sweep
from sweeps.settings.config import Places, SweepConfig
from sweeps.study.lease import Lease
from sweeps.study.opening import OpenStudy, open_study
from sweeps.study.trials import Trials
from trainer.data import prepare
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.stages.stage import data_of
from trainer.stages.store import StageStore
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.names import (
    COMPARE_TAG,
    OBJECTIVE_TAG,
    SECOND_TAG,
    STUDIES_EXPERIMENT,
    STUDY_FILE,
    STUDY_TAG,
    TRIALS_TAG,
)
from trainer.tracking.record import BEST, COMPLETE, FAILED, INTERRUPTED, RUNNING, RunRecord
from trainer.training.device import resolve_device, visible_gpus

_DRAIN_SECONDS = 600.0
_SHORT_DRAIN_SECONDS = 20.0  # where somebody waits for the end


def run_sweep(config: SweepConfig, places: Places, view: View) -> bool:
    """Run the sweep, or go on with it; False where its time was up before it had all its trials.

    Raises:
        SweepError: the study cannot be run, or MLflow did not take all of it.
        TrainerError: nothing can be trained here.
        KeyboardInterrupt: as it came; all is left so that the next start goes on from here.
    """
    paths = Paths.here()
    config = ready(config)
    folder = places.data or paths.data
    prepare(config.train.dataset, folder, config.train.image_size)
    points = known_points(config, places.tracking_uri)
    with open_executor(config) as executor:
        data = data_of(config.train, folder)
        store = StageStore(places.stages or paths.stages)
        study = open_study(config, paths, places.storage, data.digest)
        unshared = not study.shares(lambda: is_pure(config, executor, folder))
        if unshared:
            view.say(
                "The code that was brought gives other bits in another process: trials of this "
                "study share no epochs."
            )
        uri = places.tracking_uri or paths.tracking_uri
        tracker = study_tracker(uri, paths, store)
        if study.set_aside is not None:
            name, group = study.set_aside
            tracker.rename_study(group, name)
            view.say(f"The study that was called {config.study_name} is now called {name}.")
        if study.earlier is not None:
            view.say(study.earlier.note)
        enqueued = enqueue(study.optuna, points)
        delivery = Delivery(tracker)
        trials = Trials(config, study, data, unshared=unshared)
        if enqueued and trials.asked() > config.trials:
            view.say(f"With what was enqueued the study gets {trials.asked():,} trials.")
        if config.grid is not None:
            view.say(f"The grid has {len(config.grid):,} points, for {trials.asked():,} trials.")
        coordinator = Coordinator(
            config, study.optuna, study.lease, trials, executor, store, folder, delivery, view
        )
        return drive(
            coordinator,
            executor,
            delivery,
            study.lease,
            view,
            lambda state: _parent(config, study, state, coordinator.progress),
        )


def drive(
    coordinator: Coordinator,
    executor: Executor,
    delivery: Delivery,
    lease: Lease,
    view: View,
    parent: Callable[[str], RunRecord] | None = None,
) -> bool:
    """Let the coordinator work to its end, and leave all whole, however it ends.

    Args:
        coordinator: that has not worked yet.
        executor: stopped at the end.
        delivery: drained at the end.
        lease: released at the end.
        view: is told what keeps the user waiting.
        parent: makes the record of the study's own run in a state, where that is to be delivered.

    Returns:
        False where its time was up before it had all its trials.

    Raises:
        SweepError: MLflow did not take all of it.
        TrainerError: nothing can be trained here.
        KeyboardInterrupt: as it came.
    """
    with interrupts.held():
        try:
            if coordinator.resume() and parent is not None:
                delivery.put(parent(RUNNING))
            state = COMPLETE if coordinator.run() else INTERRUPTED
        except BaseException as error:
            state = FAILED if isinstance(error, Exception) else INTERRUPTED
            raise
        finally:
            executor.stop()
            for record in coordinator.interrupted():
                delivery.put(record)
            if parent is not None:
                delivery.put(parent(state))
            if delivery.problem:
                view.say(f"MLflow does not take what it is sent, waiting: {delivery.problem}")
            try:
                with interrupts.allowed():
                    patience = _DRAIN_SECONDS if state == COMPLETE else _SHORT_DRAIN_SECONDS
                    left = delivery.drain(patience)
            finally:
                lease.release()
    if left:
        raise SweepError(
            f"MLflow did not take {left} runs: {delivery.problem}. Nothing is lost; "
            "the same command delivers them."
        )
    return state == COMPLETE


def study_tracker(uri: str, paths: Paths, store: StageStore) -> MlflowTracker:
    """Delivers the runs of studies."""
    return MlflowTracker(uri, STUDIES_EXPERIMENT, paths.artifacts(STUDIES_EXPERIMENT), store)


def ready(config: SweepConfig) -> SweepConfig:
    """The config, checked, with the name of its study and the device of this machine.

    Raises:
        ConfigError: it cannot be run; the message says why.
    """
    check_sweep(config)
    config = replace(config, study=config.study_name, train=resolved(config.train))
    config.search_space.check(config.train)
    return config


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
        return len(visible_gpus())
    return max(1, len(os.sched_getaffinity(0)) // config.train.threads)


@contextmanager
def open_executor(config: SweepConfig) -> Iterator[Executor]:
    """What trains the stages, for as long as they are trained."""
    executor: Executor = InlineExecutor()
    if config.executor == "local":
        gpus = visible_gpus() if config.train.device == "cuda" else []
        executor = LocalExecutor(slots(config), gpus)
    try:
        yield executor
    finally:
        executor.stop()


def _parent(config: SweepConfig, study: OpenStudy, state: str, progress: Progress) -> RunRecord:
    """The record of the study's own run."""
    about = {
        "study": config.study_name,
        "trials": progress.trials,
        "direction": ",".join(config.directions),
        **config.settings(),
    }
    note = [
        f"**{progress.done} of {progress.trials} trials**: {progress.counts()}",
        f"Epochs: {progress.trained} trained, {progress.reused} reused",
    ]
    metrics = {}
    if progress.best is not None:
        best = progress.best
        metrics[f"{BEST}{config.objective}"] = best.value
        note.insert(
            1, f"**Best {config.objective} {best.value:.4f}**: trial {best.trial}, {best.label}"
        )
    record = RunRecord(
        id=study.id,
        group=study.id,
        name=config.study_name,
        started_at=study.created_at,
        tags={
            STUDY_TAG: config.study_name,
            OBJECTIVE_TAG: config.objective,
            **({SECOND_TAG: config.second} if config.second else {}),
            TRIALS_TAG: str(progress.trials),
            **({COMPARE_TAG: config.compare} if config.compare else {}),
            "mlflow.note.content": "\n\n".join(note),
        },
        files={STUDY_FILE: json.dumps(about, indent=2)},
        metrics=metrics,
    )
    return record if state == RUNNING else record.ended(state, config.objective, {})
