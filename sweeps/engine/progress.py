"""Progress of a sweep, as a value that views show."""

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
    """Progress of a sweep.

    Attributes:
        study: its name.
        trials: target number of trials.
        epochs: of a trial that is not stopped.
        objective: name of the metric that is optimized.
        maximize: whether a higher value of it is better.
        ended: number of trials by outcome.
        best: the best trial that neither diverged nor failed.
        trained: epochs of the study that its own trials trained.
        reused: epochs of the study that another trial or study had trained.
        suspended: trials that wait for further epochs to be granted.
        most_epochs: upper bound of the epochs trained in all; None: unlimited.
        landed: stages that came back since this start.
        seconds: since this start.
        busy: what the workers train.
        problem: how many runs wait for MLflow, since when and why; "" while it keeps up.
        closing: what is waited for after the last epoch; "" before.
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
        """Number of trials that ended."""
        return sum(self.ended.values())

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the epochs of a trial so far and the time of an epoch since this start.

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
        """Add epochs."""
        return replace(self, trained=self.trained + trained, reused=self.reused + reused)

    def with_trial(self, trial: int, label: str, outcome: str, value: float | None) -> Progress:
        """Add an ended trial; `value` is its best, None if it has no rank."""
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
    """Shows the progress of a sweep."""

    def show(self, progress: Progress) -> None:
        """Replace what was shown before."""

    def say(self, line: str) -> None:
        """Add a line that stays."""
