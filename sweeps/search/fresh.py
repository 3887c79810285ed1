"""`FreshSampler`: redraws suggestions whose outcome the study already knows."""

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
"""Draws for one trial at most; the last one is always accepted."""


class FreshSampler(PointSampler):
    """Draws all parameters of a trial at once, and redraws if the outcome is known.

    The outcome is known if all epochs of the point are known, or the pruner would stop it in a
    known epoch; if another trial failed in one of its epochs; or if learning rates that are nowhere
    higher diverged, everything else being equal.

    Args:
        sampler: sampler to draw with.
        outlook: outlook of the study.
    """

    def __init__(self, sampler: RepeatableSampler, outlook: Outlook) -> None:
        super().__init__(sampler)
        self._sampler = sampler
        self._outlook = outlook

    def point_of(self, study: Study, trial: FrozenTrial) -> Point | None:
        """A point with an unknown outcome, if one is found in `TRIES` draws."""
        trials = [it for it in study.get_trials(deepcopy=False) if it.number != trial.number]
        curves = self._outlook.curves(trials)
        point = None
        for attempt in range(TRIES):
            point = self._draw(self._sampler.reseeded(attempt), study, trial)
            if point is None or not (
                curves.is_known(point)
                or curves.is_futile(point)
                or _would_stop(study, trial, point, curves)
            ):
                break
        return point

    def _draw(self, sampler: BaseSampler, study: Study, trial: FrozenTrial) -> Point | None:
        space = sampler.infer_relative_search_space(study, trial)
        relative = sampler.sample_relative(study, trial, space) if space else {}

        def suggest(name: str, distribution: BaseDistribution) -> Any:
            if name in relative and space[name] == distribution:
                return relative[name]
            return sampler.sample_independent(study, trial, name, distribution)

        return self._outlook.points.suggested(suggest)


def _would_stop(study: Study, trial: FrozenTrial, point: Point, curves: Curves) -> bool:
    """Whether the study's pruner would stop the point in a known epoch."""
    if isinstance(study.pruner, NopPruner):
        return False
    values: dict[int, float] = {}
    for epoch, node in enumerate(point.nodes, start=1):
        if node not in curves.reported:
            return False
        values[epoch] = curves.reported[node]
        simulated = create_trial(
            state=TrialState.RUNNING,
            params=dict(point.params),
            distributions=dict(point.distributions),
            intermediate_values=values,
        )
        simulated.number = trial.number
        if study.pruner.prune(study, simulated):
            return True
    return False
