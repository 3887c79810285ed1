"""A trial on its way: what it has, what it needs next, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.curves import DIVERGED_ATTR, DIVERGED_CONSTRAINT, EPOCHS, GRANTED
from sweeps.search.objectives import SECONDS, penalty_of, value_of
from sweeps.study.window import Granted
from trainer.metrics import EpochResult, has_diverged
from trainer.settings.config import TrainConfig
from trainer.stages.killpoints import passing
from trainer.stages.plan import Stage, extended
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
from trainer.training.recipe import Recipe, UserRecipe

REUSED = "reused_epochs"
RETRAINED = "retrained_epochs"
REASON = "reason"


@dataclass
class LiveTrial:
    """One trial, from being asked for until its run is whole.

    Attributes:
        number: Optuna's number of the trial.
        handle: Optuna's trial; a frozen one where an earlier start has told its end.
        recipe: what it trains.
        label: what makes it different from others, for people.
        stages: its stages 0, 1, ... to the last, or as far as its results let them be known.
        record: what is known of it.
        objective: the metric it is judged by.
        second: what else it is judged by, another metric or the time; "": nothing.
        maximize: of each of these, whether a higher value is better.
        penalized: whether, where it diverged, Optuna is told a value all the same.
        rule: which of its states are kept.
        goal: epochs it trains: what it was granted so far, or had when it ended.
        outcome: how it ended, "running" until that is decided.
        reason: why it failed.
        reported: epochs whose values Optuna has from an earlier start.
        ended_at: when Optuna was told, seconds since 1970; None: not yet.
    """

    number: int
    handle: optuna.Trial | FrozenTrial
    recipe: Recipe | UserRecipe
    label: str
    stages: tuple[Stage, ...]
    record: RunRecord
    objective: str
    rule: CheckpointRule
    goal: int
    second: str = ""
    maximize: tuple[bool, ...] = (False,)
    penalized: bool = False
    outcome: str = RUNNING
    reason: str = ""
    reported: int = 0
    ended_at: float | None = None

    @property
    def id(self) -> str:
        """Of its run."""
        return self.record.id

    @property
    def config(self) -> TrainConfig:
        """Its configuration."""
        return self.recipe.config

    @property
    def title(self) -> str:
        """Which one it is, for people."""
        return f"trial {self.number}"

    @property
    def epochs(self) -> int:
        """Epochs it has the results of."""
        return len(self.record.results)

    @property
    def value(self) -> float | None:
        """The best value of the objective so far; None where there is nothing to be ranked."""
        if self.outcome in (DIVERGED, FAILED):
            return None
        if not self.record.results:
            return best_told(self.handle, maximize=self.maximize[0])
        return value_of(self.record.results, self.objective, self.maximize[0])

    @property
    def shown(self) -> str:
        """The values it is judged by, for people; "" where there is nothing to be ranked."""
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
        """What earlier starts granted it."""
        grants = self.handle.user_attrs.get(GRANTED)
        return (
            [Granted(it[0], it[1], it[2], self.id) for it in grants]
            if isinstance(grants, list)
            else []
        )

    def grant(self, granted: Granted) -> None:
        """Let it train so many epochs in all, and store that for a later start."""
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
        """Show that it waits."""
        self.record = replace(self.record, state=SUSPENDED)

    def needs(self, has_state: Callable[[str], bool]) -> tuple[Stage, bool] | None:
        """The stage it needs next, and whether its state is what it needs; None: nothing more."""
        if self.epochs < self.goal:
            return self.stages[self.epochs + 1], False
        for checkpoint in self._checkpoints().values():
            if not has_state(checkpoint.key):
                return self.stages[checkpoint.epoch], True
        return None

    def state_keys(self) -> set[str]:
        """Keys of the states it stands on."""
        if not self.stages:  # of a trial that has no config
            return set()
        kept = self._wanted().values()
        return {self.stages[self.epochs].key, *(checkpoint.key for checkpoint in kept)}

    def accept(self, result: EpochResult) -> None:
        """Take the next epoch's result; while it is not decided: report it, and decide."""
        self.record = replace(self.record, results=(*self.record.results, result))
        self.stages = extended(self.stages, self.recipe, self.record.results)
        if self.outcome != RUNNING:
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
        if math.isnan(result.values[self.objective]):
            self.decide(FAILED, f"{self.objective} of epoch {self.epochs} is not a number.")
            return
        self._report()
        if self.epochs == self.config.epochs:
            self.decide(COMPLETE)
        elif self._falls_behind():
            self.decide(PRUNED)

    def retrain(self, epochs: int) -> None:
        """Count epochs that were trained once more, as their states were removed."""
        if epochs and self.ended_at is None:
            total = self.record.retrained_epochs + epochs
            self.record = replace(self.record, retrained_epochs=total)
            if isinstance(self.handle, optuna.Trial):
                self.handle.set_user_attr(RETRAINED, total)

    def _report(self) -> None:
        """Let Optuna know the epoch's value; of two objectives it takes none."""
        assert isinstance(self.handle, optuna.Trial)
        if self.epochs > self.reported and not self.second:
            value = self.record.results[-1].values[self.objective]
            self.handle.report(value, step=self.epochs)
            passing("epoch-reported")

    def _falls_behind(self) -> bool:
        """Whether Optuna's pruner would stop it here."""
        assert isinstance(self.handle, optuna.Trial)
        return self.epochs >= self.reported and not self.second and self.handle.should_prune()

    def decide(self, outcome: str, reason: str = "") -> None:
        """Settle how the trial ends."""
        self.outcome, self.reason, self.goal = outcome, reason, self.epochs
        passing("trial-decided")

    def tell(self, study: optuna.Study) -> None:
        """Tell Optuna how it ended: the one place where the endings of a trial are told apart."""
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
            # one that was set just before a crash stays, and Optuna would warn
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
        """How many epochs Optuna was told it trained itself, and how many it reused."""
        reused = self.handle.user_attrs.get(REUSED, 0)
        return self.handle.user_attrs.get(EPOCHS, 0) - reused, reused

    def closed(self) -> RunRecord:
        """The record of the trial at its end, with what only the end makes known."""
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
        """What is kept with the run; of a failed one nothing: its states may be what fails."""
        return {} if self.outcome in (RUNNING, FAILED) else self._wanted()

    def _wanted(self) -> dict[str, Checkpoint]:
        """What the rule asks for, were the trial to end now."""
        return self.rule.select(
            self.stages,
            self.record.results,
            self.objective,
            self.outcome,
            maximize=self.maximize[0],
            has_weights=not self.config.trainable,
        )


def outcome_of(trial: FrozenTrial) -> str:
    """How a trial that Optuna holds for finished ended."""
    if trial.state == TrialState.COMPLETE:
        return DIVERGED if trial.user_attrs.get(DIVERGED_ATTR) else COMPLETE
    if trial.state == TrialState.PRUNED:
        return DIVERGED if trial.constraints.get(DIVERGED_CONSTRAINT, 0) > 0 else PRUNED
    return FAILED if trial.state == TrialState.FAIL else RUNNING


def best_told(trial: optuna.Trial | FrozenTrial, *, maximize: bool) -> float | None:
    """The best value that Optuna was told of a trial; unless it is complete, the best reported."""
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
    """When Optuna was told how the trial ended, in seconds since 1970."""
    return trial.datetime_complete.timestamp() if trial.datetime_complete else time.time()
