"""The default search: epochs go where the expected improvement per epoch is largest.

`FrugalSampler` suggests points and `FrugalPruner` allocates epochs, both by `Outlook`'s forecasts.
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

_LEAST_EPOCHS = 3  # per trial on average; fewer teach nothing about schedules


class FrugalSampler(PointSampler):
    """Suggests the new point with the largest expected improvement per epoch.

    The objective must be reported to the study for each epoch, from step 1 on. Suggestions are a
    function of the study's trials and the seed.

    Args:
        outlook: outlook of the study.
        seed: seed for parameters that an enqueued trial does not fix.
    """

    def __init__(self, outlook: Outlook, seed: int) -> None:
        super().__init__(RepeatableSampler(lambda it: RandomSampler(seed=it), seed))
        self._outlook = outlook

    def point_of(self, study: Study, trial: FrozenTrial) -> Point:
        """The best candidate that no trial has yet."""
        others = [it for it in study.get_trials(deepcopy=False) if it.number != trial.number]
        return self._outlook.suggestion(self._outlook.curves(others))


class FrugalPruner(AllocatingPruner):
    """Resumes the trial with the largest expected improvement per epoch; stops no trial.

    Args:
        share: fraction of all epochs of all trials that is trained at most; the limit is at least
            three epochs per trial.
        step: epochs granted at a time.
        start_epochs: epochs granted to each of the first trials, which are spread over the space.
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
        """Limit from the share."""
        return trials * self._each(outlook)

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """Known epochs of the trial's point, plus a step of new ones."""
        curves = outlook.curves(trials)
        step = self._start_epochs if len(curves.own) < outlook.start_trials else self._step
        step = min(step, self._each(outlook))  # otherwise new trials alone would exceed the limit
        return min(outlook.points.epochs, curves.depth_of(trial) + step)

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """Resume the best candidate, or start a new trial if a new point is the best.

        Trials keep pace with epochs: a new one is started while the fraction of trials started is
        below the fraction of epochs spent.
        """
        curves = outlook.curves(trials)
        started, spent = len(curves.own), curves.spent
        most = self.most(outlook, started + left) or 0
        new = BEGIN if left else None
        if (left and started < outlook.start_trials) or math.isinf(curves.best):
            return new
        if spent >= most or started * most < spent * (started + left):
            return new
        candidates = [it for it in outlook.candidates(curves) if it.trial is not None or left]
        best = max(candidates, key=lambda it: it.gain_per_epoch, default=None)
        if best is None or best.gain_per_epoch <= 0 or best.trial is None:
            return new
        why = "largest expected improvement of the best value per epoch"
        epochs = min(outlook.points.epochs, best.known + min(self._step, most - spent))
        return Grant(trial=best.trial, epochs=epochs, why=why)

    def _each(self, outlook: Outlook) -> int:
        """Maximum of epochs per trial, on average."""
        epochs = outlook.points.epochs
        return min(epochs, max(_LEAST_EPOCHS, math.ceil(epochs * self._share)))
