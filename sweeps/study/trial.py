"""`LiveTrial`: a trial in training, its results, its next stage, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.curves import DIVERGED_ATTR, DIVERGED_CONSTRAINT, EPOCHS, GRANTED
from sweeps.search.objectives import SECONDS, penalty_of, value_of
from sweeps.study.stops import Stops
from sweeps.study.window import Granted
from trainer.errors import ConfigError
from trainer.killpoints import passing
from trainer.metrics import EpochResult, has_diverged
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Planner, Stage
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    PRUNED,
    RUNNING,
    SUSPENDED,
    Checkpoint,
    CheckpointRule,
    RunRecord,
)

REUSED = "reused_epochs"
RETRAINED = "retrained_epochs"
REASON = "reason"


@dataclass
class LiveTrial:
    """One trial, from `study.ask` until its MLflow run is complete.

    Attributes:
        number: Optuna's number of the trial.
        handle: Optuna's trial; a frozen one if it finished in an earlier start.
        config: that it trains, with its device resolved.
        plan: finds the stages of a config, of which some schedules determine more with each result.
        label: its parameters, for people.
        stages: its stages 0, 1, ... to the last, or as far as they follow from the results so far;
            none of a trial that cannot be trained.
        record: the contents of its MLflow run.
        objective: name of the metric that is optimized.
        second: name of the second objective, another metric or the time; "": none.
        maximize: of each of these, whether a higher value is better.
        stops: when it is complete before its last epoch; None: never.
        penalized: whether Optuna gets a value for a diverged trial, too.
        rule: which of its states are kept as checkpoints.
        goal: epochs granted so far, or trained when it ended.
        outcome: "running" until it is decided how the trial ends.
        reason: why it failed.
        reported: epochs whose values an earlier start reported to Optuna.
        ended_at: when it finished in Optuna, seconds since 1970; None: not yet.
    """

    number: int
    handle: optuna.Trial | FrozenTrial
    config: TrainConfig
    plan: Planner
    label: str
    stages: tuple[Stage, ...]
    record: RunRecord
    objective: str
    rule: CheckpointRule
    goal: int
    second: str = ""
    maximize: tuple[bool, ...] = (False,)
    stops: Stops | None = None
    penalized: bool = False
    outcome: str = RUNNING
    reason: str = ""
    reported: int = 0
    ended_at: float | None = None

    @property
    def id(self) -> str:
        """The id of its run."""
        return self.record.id

    @property
    def title(self) -> str:
        """Its name, for people."""
        return f"trial {self.number}"

    @property
    def epochs(self) -> int:
        """Number of epochs with results."""
        return len(self.record.results)

    @property
    def value(self) -> float | None:
        """The best value of the objective so far; None if it has no rank."""
        if self.outcome in (DIVERGED, FAILED):
            return None
        if not self.record.results:
            return best_told(self.handle, maximize=self.maximize[0])
        return value_of(self.record.results, self.objective, self.maximize[0])

    @property
    def shown(self) -> str:
        """Its objective values, for people; "" if it has no rank."""
        if self.value is None:
            return ""
        named = zip(self._objectives(), self._values(), strict=True)
        return ", ".join(f"{name} {value:.4f}" for name, value in named)

    @property
    def is_suspended(self) -> bool:
        """Whether it waits for further epochs to be granted."""
        return self.outcome == RUNNING and self.epochs >= self.goal

    @property
    def recorded(self) -> list[Granted]:
        """The grants stored by earlier starts."""
        grants = self.handle.user_attrs.get(GRANTED)
        return (
            [Granted(it[0], it[1], it[2], self.id) for it in grants]
            if isinstance(grants, list)
            else []
        )

    def grant(self, granted: Granted) -> None:
        """Let it train up to `granted.epochs` epochs in all, and store that for a later start."""
        assert isinstance(self.handle, optuna.Trial)
        grants = [*(it[:-1] for it in self.recorded), granted[:-1]]
        self.handle.set_user_attr(GRANTED, grants)
        self.go_on(granted.epochs)
        passing("epochs-granted")

    def go_on(self, epochs: int) -> None:
        """Let it train so many epochs in all, as was stored before."""
        self.goal = epochs
        self.record = replace(self.record, state=RUNNING)

    def suspend(self) -> None:
        """Mark its run as suspended."""
        self.record = replace(self.record, state=SUSPENDED)

    def needs(self, has_state: Callable[[str], bool]) -> tuple[Stage, bool] | None:
        """The stage it needs next, and whether it needs the stage's state; None: nothing more."""
        if self.epochs < self.goal and len(self.stages) > self.epochs + 1:
            return self.stages[self.epochs + 1], False
        for checkpoint in self._checkpoints().values():
            if not has_state(checkpoint.key):
                return self.stages[checkpoint.epoch], True
        return None

    def state_keys(self) -> set[str]:
        """Keys of the states that must not be evicted."""
        if not self.stages:  # a trial without a valid config
            return set()
        kept = self._wanted().values()
        return {self.stages[self.epochs].key, *(checkpoint.key for checkpoint in kept)}

    def accept(self, result: EpochResult) -> None:
        """Add the next epoch's result; unless decided, report it and decide whether it ends."""
        self.record = replace(self.record, results=(*self.record.results, result))
        refused = self._extend_stages()
        if self.outcome != RUNNING:
            return
        if refused:
            self.decide(FAILED, refused)
            return
        missing = [name for name in self._objectives() if name not in (*result.values, SECONDS)]
        if missing:
            returned = ", ".join(result.values)
            self.decide(
                FAILED,
                f"Epoch {self.epochs} must have the objective {missing[0]!r}, but has {returned}.",
            )
            return
        if has_diverged(self.record.results, self.objective):
            self.decide(DIVERGED)
            return
        for name in self._objectives():
            value = result.values.get(name, 0.0)  # the time of a trial is no metric of an epoch
            if not math.isfinite(value):
                why = f"{name} of epoch {self.epochs} must be a finite number, but is {value}."
                self.decide(FAILED, why)
                return
        self._report()
        is_last = self.epochs == self.config.epochs
        if is_last or (self.stops is not None and self.stops.apply(self.record.results)):
            self.decide(COMPLETE)
        elif self._falls_behind():
            self.decide(PRUNED)

    def _extend_stages(self) -> str:
        """Find the stages that the results now determine; why that cannot be done, or ""."""
        if len(self.stages) <= self.config.epochs:
            try:
                losses = [result.val_loss for result in self.record.results]
                self.stages = self.plan(self.config, losses).stages
            except ConfigError as error:
                return str(error)
        return ""

    def retrain(self, epochs: int) -> None:
        """Count epochs that were trained again because their states were evicted."""
        if epochs and self.ended_at is None:
            total = self.record.retrained_epochs + epochs
            self.record = replace(self.record, retrained_epochs=total)
            if isinstance(self.handle, optuna.Trial):
                self.handle.set_user_attr(RETRAINED, total)

    def _report(self) -> None:
        """Report the epoch's value to Optuna, which takes none with two objectives."""
        assert isinstance(self.handle, optuna.Trial)
        if self.epochs > self.reported and not self.second:
            value = self.record.results[-1].values[self.objective]
            self.handle.report(value, step=self.epochs)
            passing("epoch-reported")

    def _falls_behind(self) -> bool:
        """Whether Optuna's pruner stops it here."""
        assert isinstance(self.handle, optuna.Trial)
        return self.epochs >= self.reported and not self.second and self.handle.should_prune()

    def decide(self, outcome: str, reason: str = "") -> None:
        """Set how the trial ends."""
        self.outcome, self.reason, self.goal = outcome, reason, self.epochs
        passing("trial-decided")

    def tell(self, study: optuna.Study) -> None:
        """Finish the trial in Optuna: the one place where the outcomes are told apart."""
        assert isinstance(self.handle, optuna.Trial)
        self.handle.set_user_attr(EPOCHS, self.epochs)
        self.handle.set_user_attr(REUSED, self.record.reused_epochs)
        if self.outcome == FAILED:
            self.handle.set_user_attr(REASON, self.reason)
            told = study.tell(self.handle, state=TrialState.FAIL)
        elif self.outcome == COMPLETE:
            told = study.tell(self.handle, self._values())
        elif self.outcome == DIVERGED and self.penalized:
            self.handle.set_user_attr(DIVERGED_ATTR, True)
            told = study.tell(self.handle, self._penalties())
        else:
            # it stays from before a crash; setting it again would warn
            if self.outcome == DIVERGED and DIVERGED_CONSTRAINT not in self.handle.constraints:
                self.handle.set_constraint(DIVERGED_CONSTRAINT, 1.0)
            told = study.tell(self.handle, state=TrialState.PRUNED)
        self.ended_at = seconds_of(told)
        passing("trial-told")

    def _values(self) -> list[float]:
        judged = zip(self._objectives(), self.maximize, strict=True)
        return [value_of(self.record.results, name, more) for name, more in judged]

    def _penalties(self) -> list[float]:
        epochs, batch = self.config.epochs, self.config.batch_size
        results = self.record.results
        judged = zip(self._objectives(), self.maximize, strict=True)
        return [penalty_of(results, name, epochs, batch, more) for name, more in judged]

    def _objectives(self) -> list[str]:
        return [self.objective, *([self.second] if self.second else [])]

    def told_epochs(self) -> tuple[int, int]:
        """Epochs that the trial trained and reused, as stored in Optuna."""
        reused = self.handle.user_attrs.get(REUSED, 0)
        return self.handle.user_attrs.get(EPOCHS, 0) - reused, reused

    def closed(self) -> RunRecord:
        """The final record of the trial."""
        checkpoints = self._checkpoints()
        return self.record.ended(
            self.outcome,
            self.objective,
            checkpoints,
            at=self.ended_at,
            error=self.reason,
            maximize=self.maximize[0],
        )

    def _checkpoints(self) -> dict[str, Checkpoint]:
        """Its checkpoints; none for a failed one, whose states may be the fault."""
        return {} if self.outcome in (RUNNING, FAILED) else self._wanted()

    def _wanted(self) -> dict[str, Checkpoint]:
        """The checkpoints to keep if the trial ended now."""
        return self.rule.select(
            self.stages,
            self.record.results,
            self.objective,
            self.outcome,
            maximize=self.maximize[0],
            has_weights=not self.config.trainable,
        )


def outcome_of(trial: FrozenTrial) -> str:
    """The outcome of a trial that is finished in Optuna."""
    if trial.state == TrialState.COMPLETE:
        return DIVERGED if trial.user_attrs.get(DIVERGED_ATTR) else COMPLETE
    if trial.state == TrialState.PRUNED:
        return DIVERGED if trial.constraints.get(DIVERGED_CONSTRAINT, 0) > 0 else PRUNED
    return FAILED if trial.state == TrialState.FAIL else RUNNING


def best_told(trial: optuna.Trial | FrozenTrial, *, maximize: bool) -> float | None:
    """The best value of a trial in Optuna; unless it is complete, the best reported one."""
    if not isinstance(trial, FrozenTrial):
        return None
    reported = [it for it in trial.intermediate_values.values() if not math.isnan(it)]
    if trial.state in (TrialState.PRUNED, TrialState.RUNNING) and reported:
        return max(reported) if maximize else min(reported)
    return trial.values[0] if trial.values else None


def last_reported(trial: FrozenTrial) -> int:
    """The last epoch whose value Optuna has; 0: none."""
    steps = [step for step, value in trial.intermediate_values.items() if not math.isnan(value)]
    return max(steps, default=0)


def seconds_of(trial: FrozenTrial) -> float:
    """When the trial finished in Optuna, in seconds since 1970."""
    return trial.datetime_complete.timestamp() if trial.datetime_complete else time.time()
