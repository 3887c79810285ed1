"""The coordinator: asks Optuna for trials, has missing stages trained, and decides how trials end.

It alone talks to Optuna and, through the delivery, to MLflow. Workers know neither.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from sweeps.engine import interrupts
from sweeps.engine.flights import Flights
from sweeps.engine.progress import Progress, View
from sweeps.engine.workspace import Workspace
from sweeps.report.showing import counted
from sweeps.settings.config import SweepConfig
from sweeps.study.opening import OpenStudy
from sweeps.study.source import TrialSource
from sweeps.study.trial import LiveTrial
from sweeps.study.window import Granted, Window
from trainer.stages.plan import Stage
from trainer.tracking.record import (
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    CheckpointRule,
    RunRecord,
)

_LOOK_SECONDS = 0.5
_PAUSE = 200  # times what an eviction took, which lists all states, until the next one


class Coordinator:
    """Runs a study until it has all its trials.

    Args:
        config: the sweep, with the device of `config.train` resolved.
        study: held by this process.
        trials: the trials of that study.
        work: the workspace: data, stage store, executor, delivery.
        view: shows the progress.
    """

    def __init__(
        self,
        config: SweepConfig,
        study: OpenStudy,
        trials: TrialSource,
        work: Workspace,
        view: View,
    ) -> None:
        self._config = config
        self._study = study
        self._trials = trials
        self._store = work.store
        self._delivery = work.delivery
        self._view = view
        self._live: dict[str, LiveTrial] = {}
        self._evict_at = 0.0
        self._undecided: deque[LiveTrial] = deque()  # not granted before an earlier start stopped
        self._window = Window(trials.width)
        self._flights = Flights(
            work.executor,
            work.store,
            work.folder,
            timeout=config.timeout,
        )
        self.progress = Progress(
            study=config.study_name,
            trials=trials.asked(),
            epochs=config.train.epochs,
            objective=config.objective,
            maximize=config.maximize,
            most_epochs=trials.most_epochs(),
        )

    def resume(self) -> bool:
        """Resume what earlier starts left: unfinished trials, and incomplete runs in MLflow.

        Returns:
            Whether there is anything to do.
        """
        recorded: list[Granted] = []
        past: dict[str, int] = {}
        reported: dict[str, int] = {}
        for trial in self._trials.begun():
            recorded += trial.recorded
            if trial.ended_at is not None:
                self._count(trial)
                past[trial.id] = sum(trial.told_epochs())
                self.progress = self.progress.with_epochs(*trial.told_epochs())
                if self._delivery.is_whole(trial.closed()):
                    continue
                if trial.goal and not trial.stages:
                    why = _last_line(trial.reason)
                    self._view.say(f"The run of {trial.title} cannot be delivered again: {why}")
                    continue
            elif not trial.recorded:
                self._undecided.append(trial)
            reported[trial.id] = trial.reported
            self._live[trial.id] = trial
        self._window = Window(self._trials.width, recorded, past, reported)
        return bool(self._live or self._trials.left())

    def run(self) -> bool:
        """Run until the study has all its trials; False if the timeout came before that.

        Raises:
            TrainerError: nothing can be trained here (the data, the store, the machine).
        """
        landed = True  # other sweeps on this store must not evict what this one needs
        while True:
            self._take_results()
            if landed:
                self._evict()
            self._submit()
            if not self._flights and self._flights.in_time():
                if self._flights.settle():
                    continue
                self._close()
            self._view.show(self._seen())
            if not self._flights or self._flights.are_over():
                return not self._live and not self._trials.left()
            self._flights.wait(_LOOK_SECONDS)
            interrupts.check()
            landed = self._flights.land(self._view.say) > 0
            self._study.lease.renew()

    def interrupted(self) -> list[RunRecord]:
        """The records of the unfinished trials, wherever they stopped."""
        return [
            trial.closed()
            if trial.ended_at is not None and trial.needs(self._store.has_state) is None
            else trial.record.ended(INTERRUPTED, self._config.objective, {})
            for trial in self._live.values()
        ]

    def _take_results(self) -> None:
        """Take results into account in the order of the window, and refill the window.

        A trial that stored results bring to its end is not shown as running, so that its run in
        MLflow may stay as it is.
        """
        changed: dict[str, LiveTrial] = {}
        self._fill()
        while self._window:
            if self._window.is_caught_up and self._trials.is_reached():
                self._end_all()
                break
            if self._window.has_room and not self._flights.in_time():
                break  # the next start decides
            if not self._window.pass_over():
                trial = self._live.get(self._window.first)
                if trial is None or trial.ended_at is not None:
                    self._window.drop()  # it failed before what an earlier start granted it
                elif self._take_first(trial):
                    changed[trial.id] = trial
                else:
                    break
            self._fill()
        for trial in changed.values():
            if trial.outcome == RUNNING:
                self._delivery.put(trial.record)
        for trial in [it for it in self._live.values() if it.outcome != RUNNING]:
            self._finish(trial)

    def _end_all(self) -> None:
        """End the trials in training where they are, as another one reached the target."""
        for trial in [self._live[id] for id in self._window.queue]:
            if trial.outcome == RUNNING:  # else it can no longer be planned
                trial.decide(PRUNED)
            self._tell(trial)
        self._window.clear()

    def _fill(self) -> None:
        """Decide what is trained next, as long as the window has room."""
        while self._window.has_room:
            if granted := self._window.recorded():
                self._window.grant(granted.trial, granted.epochs)
                if (trial := self._live.get(granted.trial)) and trial.outcome == RUNNING:
                    trial.go_on(granted.epochs)
            elif not self._window.is_caught_up or not self._decide():
                return

    def _decide(self) -> bool:
        """Grant epochs to a trial, or start a new one; False if nothing can be granted now."""
        interrupts.check()
        self._study.lease.renew()
        if self._undecided:
            self._begin(self._undecided.popleft())
            return True
        grant = self._trials.next() if self._flights.in_time() else None
        if grant is None:
            return False
        if grant.trial is None:
            trial = self._trials.ask()
            self._live[trial.id] = trial
            self._begin(trial)
        else:
            (trial,) = (it for it in self._live.values() if it.number == grant.trial)
            trial.grant(self._window.grant(trial.id, grant.epochs))
            self._delivery.put(trial.record)
            self._view.say(f"{trial.title} resumes, to epoch {grant.epochs}: {grant.why}")
        return True

    def _begin(self, trial: LiveTrial) -> None:
        if trial.outcome == RUNNING:
            trial.grant(self._window.grant(trial.id, trial.goal))
        else:  # its parameters give no valid config
            self._tell(trial)

    def _take_first(self, trial: LiveTrial) -> bool:
        """Take the next result of the window's first trial into account, if it is there."""
        if trial.outcome != RUNNING:  # an earlier start began it, and it can no longer be planned
            self._window.drop()
            self._tell(trial)
            return True
        key = trial.stages[trial.epochs + 1].result_key
        if key in self._flights:
            return False
        if result := self._flights.result(key):
            trial.accept(result)
            reused = trial.record.is_reused(result)
            self.progress = self.progress.with_epochs(trained=not reused, reused=reused)
            self._window.accept(ended=trial.outcome != RUNNING)
        elif reason := self._flights.failures.get(key):
            self._window.drop()
            self._fail(trial, reason)
        else:
            return False
        if trial.outcome != RUNNING:
            self._tell(trial)
        elif trial.is_suspended:
            trial.suspend()
            self._view.say(f"{trial.title} suspended after {_result(trial)}")
        return True

    def _submit(self) -> None:
        """Submit the most urgent stages while workers are free."""
        for trial, stage, with_state in self._needed():
            if not self._flights.may_submit():
                return
            if self._flights.may_train(stage.result_key):
                if trial.outcome == RUNNING and not trial.epochs:
                    self._delivery.put(trial.record)
                self._flights.submit(trial, stage, with_state)

    def _needed(self) -> Iterator[tuple[LiveTrial, Stage, bool]]:
        """Stages to train, and whether their states are needed, most urgent first.

        These are what the window waits for, what ended trials lack, and what trials of the window
        need before the next decision.
        """
        waiting = [self._live[it] for it in self._window.queue if it in self._live]
        for trial in [*waiting, *(it for it in self._live.values() if it.outcome != RUNNING)]:
            need = trial.needs(self._store.has_state)
            if need and (need[1] or self._flights.result(need[0].result_key) is None):
                yield trial, *need
        for trial in waiting if self._trials.trains_ahead else ():
            for stage in trial.stages[trial.epochs + 1 : trial.goal + 1]:
                if self._flights.result(stage.result_key) is None:
                    yield trial, stage, False
                    break

    def _close(self) -> None:
        """End the suspended trials, as no more epochs are granted."""
        suspended = [trial for trial in self._live.values() if trial.is_suspended]
        is_early = self._trials.left() > 0 or self._trials.asked() < self.progress.trials
        if (suspended or is_early) and not self._window and self._trials.next() is None:
            if why := self._trials.close():
                self._view.say(why)
            self.progress = replace(self.progress, trials=self._trials.asked())
            for trial in suspended:
                trial.decide(PRUNED)
                self._tell(trial)
                self._finish(trial)
            self._submit()

    def _finish(self, trial: LiveTrial) -> None:
        """Deliver the run of a trial that ended, once it has its results and checkpoints."""
        while need := trial.needs(self._store.has_state):
            stage, with_state = need
            key = stage.result_key
            if key in self._flights:
                return
            if not with_state and (result := self._flights.result(key)):
                trial.accept(result)
            elif reason := self._flights.failures.get(key):
                self._fail(trial, reason)
            else:
                return
        self._delivery.put(trial.closed())
        del self._live[trial.id]

    def _evict(self) -> None:
        """Free space in the store, but never a state that a trial or the delivery needs."""
        standing = (trial.state_keys() for trial in self._live.values() if not trial.is_suspended)
        needed = self._delivery.state_keys().union(*standing)
        began = time.monotonic()
        if began < self._evict_at:
            self._store.keep(needed)
            return
        self._store.evict(needed)
        ended = time.monotonic()
        self._evict_at = ended + _PAUSE * (ended - began)

    def _fail(self, trial: LiveTrial, reason: str) -> None:
        if trial.ended_at is None:
            trial.decide(FAILED, reason)
            return
        lost = "results" if trial.epochs < trial.goal else "checkpoints"
        trial.rule, trial.goal = CheckpointRule(best=False, last=False), trial.epochs
        self._view.say(f"The {lost} of {trial.title} cannot be made again: {_last_line(reason)}")

    def _tell(self, trial: LiveTrial) -> None:
        """Finish a decided trial in Optuna."""
        trial.tell(self._study.optuna)
        self._count(trial)
        self._view.say(f"{trial.title} {trial.outcome} after {_result(trial)}")

    def _count(self, trial: LiveTrial) -> None:
        label = trial.label
        self.progress = self.progress.with_trial(trial.number, label, trial.outcome, trial.value)

    def _seen(self) -> Progress:
        return replace(
            self.progress,
            busy=self._flights.busy(),
            landed=self._flights.landed,
            suspended=sum(trial.is_suspended for trial in self._live.values()),
            seconds=self._flights.seconds(),
            problem=self._delivery.problem,
        )


def _last_line(reason: str) -> str:
    return reason.strip().rpartition("\n")[2]


def _result(trial: LiveTrial) -> str:
    """How far a trial came, and its values, for people."""
    return f"{counted(trial.epochs)}: " + "  ".join(filter(None, (trial.shown, trial.label)))
