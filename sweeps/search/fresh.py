"""No trial is spent on what is known: a suggestion without a new epoch is drawn again."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.allocation.points import Point
from sweeps.search.forwarding import PointSampler
from sweeps.search.repeatable import RepeatableSampler

TRIES = 20
"""Draws for one trial; the last one is taken whatever it is."""


class FreshSampler(PointSampler):
    """Draws all parameters of a trial at once, and again where the study knows the answer.

    That is so where every epoch of the point is known, or the pruner would stop it in one that is;
    where another trial failed in an epoch of the point; and beyond the border of divergence: where
    rates that are nowhere higher diverged, all else being equal.

    Args:
        sampler: that draws.
        outlook: of the study's space.
    """

    def __init__(self, sampler: RepeatableSampler, outlook: Outlook) -> None:
        super().__init__(sampler)
        self._sampler = sampler
        self._outlook = outlook

    def point_of(self, study: Study, trial: FrozenTrial) -> Point | None:
        """One whose answer the study does not know, if one is drawn in time."""
        trials = [it for it in study.get_trials(deepcopy=False) if it.number != trial.number]
        curves = self._outlook.curves(trials)
        point = None
        for attempt in range(TRIES):
            point = self._drawn(self._sampler.again(attempt), study, trial)
            if point is None or not (
                curves.is_known(point)
                or curves.is_futile(point)
                or _would_stop(study, trial, point, curves)
            ):
                break
        return point

    def _drawn(self, sampler: BaseSampler, study: Study, trial: FrozenTrial) -> Point | None:
        space = sampler.infer_relative_search_space(study, trial)
        together = sampler.sample_relative(study, trial, space) if space else {}

        def suggest(name: str, distribution: BaseDistribution) -> Any:
            if name in together and space[name] == distribution:
                return together[name]
            return sampler.sample_independent(study, trial, name, distribution)

        return self._outlook.points.asked(suggest)


def _would_stop(study: Study, trial: FrozenTrial, point: Point, curves: Curves) -> bool:
    """Whether the study's pruner would stop the point in an epoch that is known already."""
    if isinstance(study.pruner, NopPruner):
        return False
    values: dict[int, float] = {}
    for epoch, node in enumerate(point.nodes, start=1):
        if node not in curves.reported:
            return False
        values[epoch] = curves.reported[node]
        asking = create_trial(
            state=TrialState.RUNNING,
            params=dict(point.params),
            distributions=dict(point.distributions),
            intermediate_values=values,
        )
        asking.number = trial.number
        if study.pruner.prune(study, asking):
            return True
    return False
