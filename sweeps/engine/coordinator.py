"""The coordinator: asks Optuna, looks stages up, has the missing ones trained, decides and tells.

It alone talks to Optuna, and through the delivery to MLflow. Workers know neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from sweeps.engine import interrupts
from sweeps.engine.flights import Flights
from sweeps.engine.progress import Progress, View
from sweeps.engine.workspace import Workspace
from sweeps.report.showing import counted
from sweeps.search.allocation.grants import Grant
from sweeps.settings.config import SweepConfig
from sweeps.study.opening import OpenStudy
from sweeps.study.trial import LiveTrial
from trainer.tracking.record import (
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    SUSPENDED,
    CheckpointRule,
    RunRecord,
)

_LOOK_SECONDS = 0.5
_ACTIVE_PER_SLOT = 2  # trials with epochs to train, for each stage that is trained at once


class TrialSource(Protocol):
    """Where live trials come from: `Trials` of a sweep, `Repeats` of some of them."""

    def asked(self) -> int:
        """How many there are to be in all."""

    def left(self) -> int:
        """How many are still to be asked for."""

    def next(self) -> Grant | None:
        """What a free worker does next; None: nothing until one has come further."""

    def ask(self) -> LiveTrial:
        """A new one, with the epochs that it is granted at first."""

    def close(self) -> str:
        """Store that nothing more is granted; why not, for people, where that needs saying."""

    def most_epochs(self) -> int | None:
        """The most that are trained in all; None: not limited."""

    def begun(self) -> Iterator[LiveTrial]:
        """Those that earlier starts began."""


class Coordinator:
    """Runs a study until it has all its trials.

    Args:
        config: the sweep, with the device of `config.train` resolved.
        study: that this process holds; Optuna's is told how trials end.
        trials: of that study.
        work: what they are trained with and delivered by.
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
        self._slots = work.executor.slots
        self._store = work.store
        self._delivery = work.delivery
        self._view = view
        self._live: list[LiveTrial] = []
        self._flights = Flights(work.executor, work.store, work.folder, config.train.references)
        self._began = time.time()
        self.progress = Progress(
            study=config.study_name,
            trials=trials.asked(),
            epochs=config.train.epochs,
            objective=config.objective,
            most_epochs=trials.most_epochs(),
        )

    def resume(self) -> bool:
        """Take up what earlier starts left: unfinished trials, and runs that MLflow has not whole.

        Returns:
            Whether there is anything to do.
        """
        for trial in self._trials.begun():
            if trial.ended_at is not None:
                self._count(trial)
                self.progress = self.progress.with_epochs(*trial.told_epochs())
                if self._delivery.is_whole(trial.closed()):
                    continue
            self._live.append(trial)
        return bool(self._live or self._trials.left())

    def run(self) -> bool:
        """Go on until the study has all its trials; False where the time was up before that.

        Raises:
            TrainerError: nothing can be trained here (the data, the store, the machine).
        """
        for trial in list(self._live):
            self._take_up(trial)
        landed = False
        while True:
            self._fill()
            if landed:
                self._evict()
            if not self._flights and self._in_time():
                self._close()
            self._view.show(self._seen())
            if not self._flights:
                return not self._live and not self._trials.left()
            self._flights.wait(_LOOK_SECONDS)
            interrupts.check()
            landed = bool(self._land())
            self._study.lease.renew()
            for trial in list(self._live):
                self._advance(trial)

    def interrupted(self) -> list[RunRecord]:
        """The records of the trials that are left on their way, wherever that was."""
        return [
            trial.closed()
            if trial.ended_at is not None and trial.needs(self._store.has_state) is None
            else trial.record.ended(INTERRUPTED, self._config.objective, {})
            for trial in self._live
        ]

    def _fill(self) -> None:
        """Give free workers something to do.

        Trials that wait for one and the same epoch keep no worker busy, but a few of them are
        enough: what is begun later is chosen by more results.
        """
        while self._may_submit() and len(self._active()) < _ACTIVE_PER_SLOT * self._slots:
            interrupts.check()
            grant = self._trials.next()
            if grant is None:
                return
            if grant.trial is None:
                trial = self._trials.ask()
                self._live.append(trial)
            else:
                (trial,) = (it for it in self._live if it.number == grant.trial)
                trial.grant(grant.epochs)
                self._view.say(f"{trial.title} goes on to epoch {grant.epochs}: {grant.why}")
            self._take_up(trial)

    def _take_up(self, trial: LiveTrial) -> None:
        """Go on with a trial, and show that; one that stored results bring to its end is not shown
        as running, so that its run in MLflow may stay as it is.
        """
        self._advance(trial)
        if trial.outcome == RUNNING:
            self._delivery.put(trial.record)

    def _active(self) -> list[LiveTrial]:
        """Trials with epochs to train."""
        return [it for it in self._live if it.outcome == RUNNING and not it.is_suspended]

    def _close(self) -> None:
        """End what is suspended, as nothing more is to be granted."""
        suspended = [trial for trial in self._live if trial.is_suspended]
        is_early = self._trials.left() > 0 or self._trials.asked() < self.progress.trials
        if (suspended or is_early) and not self._active() and self._trials.next() is None:
            if why := self._trials.close():
                self._view.say(why)
            self.progress = replace(self.progress, trials=self._trials.asked())
            for trial in suspended:
                trial.decide(PRUNED)
                self._advance(trial)

    def _advance(self, trial: LiveTrial) -> None:
        """Bring a trial as far as stored results go; then have what it needs next trained."""
        if trial.is_suspended and trial.record.state == SUSPENDED:
            return
        before = trial.epochs
        if self._waits(trial):
            if trial.outcome == RUNNING and trial.epochs > before:
                self._delivery.put(trial.record)
            return
        if trial.is_suspended:
            trial.suspend()
            self._delivery.put(trial.record)
            self._view.say(f"{trial.title} suspended after {_result(trial)}")
            return
        if trial.ended_at is None:
            self._tell(trial)
        self._delivery.put(trial.closed())
        self._live.remove(trial)

    def _waits(self, trial: LiveTrial) -> bool:
        """Take what is stored; whether it then waits for an epoch to be trained."""
        while need := trial.needs(self._store.has_state):
            stage, with_state = need
            if stage.result_key in self._flights:
                return True
            if reason := self._flights.failures.get(stage.result_key):
                self._fail(trial, reason)
                return False
            result = None if with_state else self._store.result(stage.result_key)
            if result is None:
                if self._may_submit():
                    self._flights.submit(trial, stage, with_state)
                return True
            trial.accept(result)
            if trial.ended_at is None:
                reused = trial.record.reused(result)
                self.progress = self.progress.with_epochs(trained=not reused, reused=reused)
                if trial.outcome != RUNNING:
                    self._tell(trial)
        return False

    def _land(self) -> int:
        """Take in every stage that came back; how many did."""
        landed = self._flights.land(self._view.say)
        self.progress = replace(self.progress, landed=self.progress.landed + landed)
        return landed

    def _evict(self) -> None:
        """Make room in the store, but never of a state that a trial or a delivery stands on."""
        standing = (trial.state_keys() for trial in self._live if not trial.is_suspended)
        self._store.evict(keep=self._delivery.state_keys().union(*standing))

    def _fail(self, trial: LiveTrial, reason: str) -> None:
        if trial.ended_at is None:
            trial.decide(FAILED, reason)
            return
        trial.rule = CheckpointRule(best=False, last=False)
        last = reason.strip().rpartition("\n")[2]
        self._view.say(f"The checkpoints of {trial.title} cannot be made again: {last}")

    def _tell(self, trial: LiveTrial) -> None:
        """Tell Optuna what was decided: today in the order in which trials are decided."""
        trial.tell(self._study.optuna)
        self._count(trial)
        self._view.say(f"{trial.title} {trial.outcome} after {_result(trial)}")

    def _count(self, trial: LiveTrial) -> None:
        label = trial.label
        self.progress = self.progress.with_trial(trial.number, label, trial.outcome, trial.value)

    def _may_submit(self) -> bool:
        return self._in_time() and len(self._flights) < self._slots

    def _in_time(self) -> bool:
        timeout = self._config.timeout
        return timeout is None or time.time() - self._began < timeout

    def _seen(self) -> Progress:
        return replace(
            self.progress,
            busy=self._flights.busy(),
            suspended=sum(trial.is_suspended for trial in self._live),
            seconds=time.time() - self._began,
            problem=self._delivery.problem,
        )


def _result(trial: LiveTrial) -> str:
    """How far a trial came, and with what, for people."""
    return f"{counted(trial.epochs)}: " + "  ".join(filter(None, (trial.shown, trial.label)))
