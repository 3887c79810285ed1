"""Where a sweep stands, as a value; views show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from sweeps.report.showing import duration
from trainer.tracking.record import COMPLETE, DIVERGED, FAILED, PRUNED


@dataclass(frozen=True, kw_only=True)
class Busy:
    """What one worker trains, and for how many seconds."""

    trial: int
    label: str
    epoch: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial so far."""

    trial: int
    label: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        study: its name.
        trials: how many it is to have.
        epochs: of a trial that is not stopped.
        objective: the metric that trials are judged by.
        maximize: whether a higher value of it is better.
        ended: trials by how they ended.
        best: the best trial that did not diverge or fail.
        trained: epochs of the study first trained for the trial that has them.
        reused: epochs of the study that another trial or study had trained.
        suspended: trials that wait for further epochs to be granted.
        most_epochs: that are trained in all; None: not limited.
        landed: stages that came back since this start.
        seconds: since this start.
        busy: what the workers train.
        problem: since when runs wait for MLflow, and why; "" while it keeps up.
        closing: what is waited for when all is trained; "" before.
    """

    study: str
    trials: int
    epochs: int
    objective: str
    maximize: bool = False
    ended: Mapping[str, int] = field(default_factory=dict)
    best: Best | None = None
    trained: int = 0
    reused: int = 0
    suspended: int = 0
    most_epochs: int | None = None
    landed: int = 0
    seconds: float = 0.0
    busy: tuple[Busy, ...] = ()
    problem: str = ""
    closing: str = ""

    @property
    def done(self) -> int:
        """Trials that ended, however they did."""
        return sum(self.ended.values())

    @property
    def seconds_left(self) -> float | None:
        """From the epochs a trial took so far and the time an epoch took since this start.

        None before an epoch came back; before a trial ended, as if none were pruned.
        """
        if not self.landed:
            return None
        if self.most_epochs is not None:
            return max(0, self.most_epochs - self.trained) * self.seconds / self.landed
        epochs = self.trained / self.done if self.done else self.epochs
        return max(0, self.trials - self.done) * epochs * self.seconds / self.landed

    def time_left(self) -> str:
        """The time left, in words."""
        if self.seconds_left is None:
            return "time left not known yet"
        known = self.done and self.most_epochs is None
        return f"{'about' if known else 'at most'} {duration(self.seconds_left)} left"

    def with_epochs(self, trained: int, reused: int) -> Progress:
        """So many more epochs."""
        return replace(self, trained=self.trained + trained, reused=self.reused + reused)

    def with_trial(self, trial: int, label: str, outcome: str, value: float | None) -> Progress:
        """One more trial has ended; `value` is its best, None where it is not to be ranked."""
        best = self.best
        if value is not None and (best is None or self._better(value, best.value)):
            best = Best(trial=trial, label=label, value=value)
        return replace(
            self, ended={**self.ended, outcome: self.ended.get(outcome, 0) + 1}, best=best
        )

    def _better(self, value: float, than: float) -> bool:
        return value > than if self.maximize else value < than

    def counts(self) -> str:
        """How the trials ended, in words."""
        names = [COMPLETE, PRUNED, *(name for name in (DIVERGED, FAILED) if name in self.ended)]
        words = [f"{self.ended.get(name, 0)} {name}" for name in names]
        words += [f"{self.suspended} suspended"] if self.suspended else []
        return ", ".join(words)


class View(Protocol):
    """Shows people where a sweep stands."""

    def show(self, progress: Progress) -> None:
        """Show this instead of what was shown before."""

    def say(self, line: str) -> None:
        """Add a line that stays."""
