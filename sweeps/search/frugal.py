"""The search that asks of every epoch what it can be expected to gain.

`FrugalSampler` suggests points, `FrugalPruner` grants epochs, both by what `Outlook` expects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweeps.search.allocation.grants import BEGIN, AllocatingPruner, Grant, at_least
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.allocation.points import Point
from sweeps.search.forwarding import PointSampler
from sweeps.search.repeatable import RepeatableSampler

_LEAST_EPOCHS = 3  # of each trial on average; with fewer nothing is learnt of schedules


class FrugalSampler(PointSampler):
    """Suggests what is expected to gain most for each epoch.

    The study must have each epoch's objective reported, from step 1 on. The same trials give the
    same suggestion.

    Args:
        outlook: of the study's space.
        seed: of what an enqueued trial is not given.
    """

    def __init__(self, outlook: Outlook, seed: int) -> None:
        super().__init__(RepeatableSampler(lambda it: RandomSampler(seed=it), seed))
        self._outlook = outlook

    def point_of(self, study: Study, trial: FrozenTrial) -> Point:
        """The best chance that is no trial's yet."""
        others = [it for it in study.get_trials(deepcopy=False) if it.number != trial.number]
        return self._outlook.suggestion(self._outlook.curves(others))


class FrugalPruner(AllocatingPruner):
    """Grants epochs to what is expected to gain most for each; stops no trial.

    Args:
        share: of the epochs that all trials would have, as many are trained at most, but three a
            trial.
        step: epochs granted at a time.
        start_epochs: granted to each of the first trials, which are spread over the space.
    """

    def __init__(
        self,
        share: float = 0.25,
        step: int = 4,
        start_epochs: int = 2,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], but got {share}.")
        at_least("step", step, 1)
        at_least("start_epochs", start_epochs, 1)
        self._share = share
        self._step = step
        self._start_epochs = start_epochs

    def most(self, outlook: Outlook, trials: int) -> int | None:
        """A share of all."""
        return trials * self._each(outlook)

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """Beyond what the study knows of it."""
        curves = outlook.curves(trials)
        step = self._start_epochs if len(curves.own) < outlook.start_trials else self._step
        step = min(step, self._each(outlook))  # or new trials alone would exceed the budget
        return min(outlook.points.epochs, curves.depth_of(trial) + step)

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """The best chance; a new trial, too, where these fall behind the epochs."""
        curves = outlook.curves(trials)
        begun, spent = len(curves.own), curves.spent
        most = self.most(outlook, begun + left) or 0
        new = BEGIN if left else None
        if (left and begun < outlook.start_trials) or math.isinf(curves.best):
            return new
        if spent >= most or begun * most < spent * (begun + left):
            return new
        chances = [it for it in outlook.chances(curves) if it.trial is not None or left]
        best = max(chances, key=lambda it: it.worth, default=None)
        if best is None or best.worth <= 0 or best.trial is None:
            return new
        why = "largest expected improvement per epoch"
        epochs = min(outlook.points.epochs, best.known + min(self._step, most - spent))
        return Grant(trial=best.trial, epochs=epochs, why=why)

    def _each(self, outlook: Outlook) -> int:
        """Epochs of a trial on average, at most."""
        epochs = outlook.points.epochs
        return min(epochs, max(_LEAST_EPOCHS, math.ceil(epochs * self._share)))
