"""Samplers of predetermined points: a grid, and a Sobol sequence."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweeps.search.optuna_private import is_enqueued
from sweeps.search.repeatable import RepeatableSampler

DIMENSIONS = 64
"""Dimensions of the Sobol sequence, the same for every space, so that adding a parameter does not
change the values of the others."""


class SettledSampler(BaseSampler):
    """Base class of samplers that ignore results and draw each parameter independently."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """No parameter is sampled jointly."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """No parameter is sampled jointly."""
        return {}


class GridSampler(SettledSampler):
    """Assigns every point of a space to one trial, in an order determined by the seed.

    The n-th trial that was not enqueued gets the n-th point. Optuna's GridSampler draws one of the
    remaining points at random, so two concurrent trials may get the same one.

    Args:
        points: parameters of each point.
        seed: seed of the order, and of parameters that an enqueued trial does not fix.
    """

    def __init__(self, points: Iterable[Mapping[str, Any]], seed: int) -> None:
        self._points = list(points)
        random.Random(seed).shuffle(self._points)
        self._rest = RepeatableSampler(lambda seed: RandomSampler(seed=seed), seed)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Value of the parameter in the trial's point."""
        if is_enqueued(trial):
            return self._rest.sample_independent(study, trial, param_name, param_distribution)
        others = study.get_trials(deepcopy=False)
        place = sum(it.number < trial.number and not is_enqueued(it) for it in others)
        return self._points[place][param_name]


class SobolSampler(SettledSampler):
    """Spreads trials evenly: the n-th trial gets the n-th point of a scrambled Sobol sequence.

    The k-th parameter that a trial suggests gets the k-th coordinate, so the space need not be
    known in advance. Optuna's QMCSampler counts its points in the study, and moves on to another
    point when a resumed trial suggests again.

    Args:
        seed: seed of the scrambling.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._current: tuple[int, list[float]] | None = None

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Value at the parameter's coordinate of the trial's point."""
        quantile = self._point(trial.number)[len(trial.distributions) % DIMENSIONS]
        return _value_at(param_distribution, quantile)

    def _point(self, number: int) -> list[float]:
        """Coordinates of a point, each in [0, 1)."""
        from torch.quasirandom import SobolEngine  # slow to import, and only this sampler needs it

        if self._current is None or self._current[0] != number:
            # torch declares no types here
            sequence: Any = SobolEngine(DIMENSIONS, scramble=True, seed=self._seed)  # type: ignore[no-untyped-call]
            sequence.fast_forward(number)
            self._current = (number, sequence.draw(1).tolist()[0])
        return self._current[1]


def _value_at(distribution: BaseDistribution, quantile: float) -> Any:
    """Value at a quantile, in [0, 1), of a distribution as Optuna samples it."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(quantile * len(distribution.choices))]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        edge = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        start, end = math.log(low - edge), math.log(high + edge)
        value = min(max(math.exp(start + quantile * (end - start)), low), high)
        return round(value) if edge else value
    if step is None:
        return low + quantile * (high - low)
    count = round((high - low) / step) + 1  # Optuna rounds `high` down to a step
    return low + int(quantile * count) * step
