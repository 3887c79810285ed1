"""`Stops`: when a trial ends before its last epoch because of its own results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.metrics import EpochResult, best


@dataclass(frozen=True, kw_only=True)
class Stops:
    """Conditions under which a trial is complete before its last epoch.

    Unlike a pruner, they compare a trial with no other one: its best value is final, as with early
    stopping in an objective function of Optuna or a stopper of Ray Tune.

    Attributes:
        patience: epochs without a better value of the objective; None: any number.
        target: value of the objective with which the search ends; None: none.
        objective: name of the metric that is optimized.
        maximize: whether a higher value of it is better.
    """

    objective: str
    maximize: bool
    patience: int | None = None
    target: float | None = None

    def apply(self, results: Sequence[EpochResult]) -> bool:
        """Whether a trial with these results has ended."""
        top = best(results, self.objective, self.maximize)
        if self.patience is not None and len(results) - top.epoch >= self.patience:
            return True
        return self.is_reached(top.values[self.objective])

    def is_reached(self, value: float) -> bool:
        """Whether a value of the objective is at the target or better; NaN is not."""
        if self.target is None:
            return False
        return value >= self.target if self.maximize else value <= self.target
