"""One run of a sweep's command: opens its study, runs the coordinator, leaves all complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial

from sweeps.engine import interrupts
from sweeps.engine.coordinator import Coordinator
from sweeps.engine.delivery import Delivery
from sweeps.engine.known import enqueue, known_points
from sweeps.engine.progress import Progress, View
from sweeps.engine.purity import is_pure
from sweeps.engine.user_code import user_code_apart
from sweeps.engine.workspace import Workspace, open_workspace, ready
from sweeps.errors import SweepError
from sweeps.report.notes import TRAINS_ON_TEST, trains_on_test
from sweeps.report.showing import counted, in_markdown
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from sweeps.study.opening import OpenStudy, open_study
from sweeps.study.parent import parent_record
from sweeps.study.trial import REASON, outcome_of
from sweeps.study.trials import Trials
from trainer.settings.paths import Paths
from trainer.tracking.connection import in_one_line
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.past import groups_of, set_aside, tag_group
from trainer.tracking.record import BEST, COMPLETE, FAILED, INTERRUPTED, RUNNING, RunRecord

_PATIENCE_SECONDS = 60.0  # for MLflow at the end, since it last accepted a run
_SHORT_PATIENCE_SECONDS = 20.0  # where a user waits for the end


def run_sweep(config: SweepConfig, places: Places, view: View) -> bool:
    """Run or resume the sweep; False if the timeout came before it had all its trials.

    Raises:
        SweepError: the study cannot be run, all its trials failed, or MLflow did not accept all.
        TrainerError: nothing can be trained here.
        KeyboardInterrupt: after an interrupt; the same command resumes.
    """
    with user_code_apart(config, config.study_name):
        return _run_sweep(config, places, view)


def _run_sweep(config: SweepConfig, places: Places, view: View) -> bool:
    config = ready(config)
    points = known_points(config, places.tracking_uri)
    with (
        open_workspace(config, places) as work,
        open_study(config, Paths.here(), places.storage, work.data.digest) as study,
    ):
        view.say(f"To watch it: {work.tracker.page}")
        if trains_on_test(config.settings()):
            view.say(TRAINS_ON_TEST)
        unshared = not study.shares(lambda: is_pure(config, work.folder, work.processes, view.say))
        if unshared:
            view.say(
                "The code that was brought gives other bits in another process: trials of this "
                "study share no epochs."
            )
        _compare(study, work.tracker, config.study_name, view)
        _label(study, work.tracker, config)
        enqueued = enqueue(study.optuna, points)
        width = study.width(config.concurrent_trials, work.executor.slots)
        if width < work.executor.slots:
            view.say(
                f"This study trains {width} trials at a time, so {work.executor.slots - width} of "
                f"{work.executor.slots} workers stay idle."
            )
        trials = Trials(config, study, work.data, plan=work.plan, width=width, unshared=unshared)
        if enqueued and trials.asked() > config.trials:
            view.say(f"With what was enqueued the study gets {trials.asked():,} trials.")
        if config.grid is not None:
            view.say(f"The grid has {len(config.grid):,} points, for {trials.asked():,} trials.")
        coordinator = Coordinator(config, study, trials, work, view)
        done = drive(
            coordinator,
            work,
            view,
            lambda state: _parent(config, study, state, coordinator.progress),
        )
        if done:
            _check_trained(study.optuna.get_trials(deepcopy=False), work.tracker.page)
        return done


def _check_trained(trials: Sequence[FrozenTrial], page: str) -> None:
    """Raise an error if all trials failed."""
    if any(outcome_of(trial) != FAILED for trial in trials):
        return
    first = trials[0].user_attrs.get(REASON, "").strip().rpartition("\n")[2]
    raise SweepError(
        f"A trial at least must be trained, but all {len(trials)} failed, trial 0 with: "
        f"{first.rstrip('.')}. Each run in MLflow has its traceback.txt ({page}). When that is "
        "fixed, --fresh starts anew."
    )


def drive(
    coordinator: Coordinator,
    work: Workspace,
    view: View,
    parent: Callable[[str], RunRecord] | None = None,
) -> bool:
    """Run the coordinator to its end, and leave all complete, however it ends.

    Args:
        coordinator: that has not run yet.
        work: its executor is stopped at the end, and its delivery drained.
        view: shows what the user waits for.
        parent: makes the record of the study's own run in a state, where that is to be delivered;
            it is not if the start fails before its first trial, as MLflow needs no empty study.

    Returns:
        False if the timeout came before it had all its trials.

    Raises:
        SweepError: MLflow did not accept all of it.
        TrainerError: nothing can be trained here.
        KeyboardInterrupt: after an interrupt.
    """
    delivery = work.delivery
    with interrupts.held():
        try:
            is_open = coordinator.resume()
            if parent is not None:
                if is_open:
                    delivery.hold(parent(RUNNING))
                else:
                    view.say("All trials of this study have ended; a larger --trials adds more.")
            state = COMPLETE if coordinator.run() else INTERRUPTED
        except BaseException as error:
            state = FAILED if isinstance(error, Exception) else INTERRUPTED
            raise
        finally:
            work.executor.stop()
            for record in coordinator.interrupted():
                delivery.put(record)
            if parent is not None and (delivery.is_used or state != FAILED):
                delivery.put(parent(state))
            with interrupts.allowed():
                patience = _PATIENCE_SECONDS if state == COMPLETE else _SHORT_PATIENCE_SECONDS
                left = delivery.drain(patience, _waiting(delivery, coordinator, view))
    if left:
        reason = delivery.reason.removesuffix(".") or "it does not answer"
        raise SweepError(
            f"MLflow did not take {counted(left, 'run')}: {reason}. Nothing is lost; "
            "the same command delivers them."
        )
    return state == COMPLETE


def _waiting(delivery: Delivery, coordinator: Coordinator, view: View) -> Callable[[float], None]:
    """Shows what MLflow is waited for, and for how many more seconds."""

    def show(left: float) -> None:
        runs = counted(delivery.undelivered, "run")
        why = f": {delivery.reason}" if delivery.reason else ""
        closing = f"waiting {left:.0f} s at most for MLflow to take {runs}{why}"
        view.show(replace(coordinator.progress, closing=closing))

    return show


def _compare(study: OpenStudy, tracker: MlflowTracker, name: str, view: View) -> None:
    """Rename runs in MLflow as their study was renamed, and report what does not agree."""
    with in_one_line(tracker.uri):
        groups = groups_of(tracker.client, tracker.experiment_id, name)
        for group in groups & study.aside.keys():
            set_aside(tracker.client, tracker.experiment_id, group, study.aside[group])
            view.say(f"The study that was called {name} is now called {study.aside[group]}.")
    trials = study.optuna.get_trials(deepcopy=False)
    if not trials and groups - study.aside.keys() - {study.id}:
        view.say(
            f"MLflow has runs of a study {name} that Optuna's storage does not have: they stay as "
            "they are, and the study begins anew beside them; stored epochs are reused."
        )
    if study.id not in groups and any(trial.state.is_finished() for trial in trials):
        view.say(
            f"MLflow has no runs of study {name}, of which Optuna's storage has "
            f"{counted(len(trials), 'trial')}: they are delivered again; epochs whose checkpoints "
            "are no longer stored are trained again."
        )


def _label(study: OpenStudy, tracker: MlflowTracker, config: SweepConfig) -> None:
    """Store new tags and a new description with the study; its runs get the tags, old ones too."""
    tags = {**study.tags, **config.tags}
    if tags != study.tags:
        with in_one_line(tracker.uri):
            tag_group(tracker.client, tracker.experiment_id, study.id, config.tags)
    study.label(tags, config.description or study.description)


def _parent(config: SweepConfig, study: OpenStudy, state: str, progress: Progress) -> RunRecord:
    """The record of the study's own run in a state."""
    note = [
        f"**{progress.done} of {progress.trials} trials**: {progress.counts()}",
        f"Epochs: {progress.trained} trained, {progress.reused} reused",
    ]
    metrics = {}
    if progress.best is not None:
        best = progress.best
        metrics[f"{BEST}{config.objective}"] = best.value
        note.insert(
            1,
            f"**Best {config.objective} {best.value:.4f}**: trial {best.trial}, "
            f"{in_markdown(best.label)}",
        )
    record = parent_record(config, study, trials=progress.trials, note=note, metrics=metrics)
    if state == RUNNING:
        return record
    return record.ended(state, config.objective, {}, maximize=config.maximize)
