"""Samplers that go through points settled beforehand: those of a grid, and a Sobol sequence."""

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
"""Most parameters of a trial in a Sobol sequence; it is made with as many whatever the space is,
so that what the space has more of leaves the other parameters as they are."""


class SettledSampler(BaseSampler):
    """A sampler that needs to know of a study only which trial asks, and for what."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}


class GridSampler(SettledSampler):
    """Gives every point of a space to one trial, in an order that the seed settles.

    The n-th trial that was not enqueued has the n-th point, whoever asks, and when. Optuna's own
    draws one of those that are left, so that two trials that are on their way may have the same.

    Args:
        points: the parameters of each, by name.
        seed: of the search; it draws what an enqueued trial was not given, too.
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
        """The parameter of the trial's point."""
        if is_enqueued(trial):
            return self._rest.sample_independent(study, trial, param_name, param_distribution)
        others = study.get_trials(deepcopy=False)
        place = sum(it.number < trial.number and not is_enqueued(it) for it in others)
        return self._points[place][param_name]


class SobolSampler(SettledSampler):
    """Spreads trials evenly: the n-th trial has the n-th point of a scrambled Sobol sequence.

    The parameter a trial asks for as its k-th has the point's k-th coordinate, so that a space need
    not be known before. Optuna's own counts its points in the study, and goes to another one when a
    trial asks again.

    Args:
        seed: of the search.
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
        """The value at the parameter's coordinate of the trial's point."""
        at = self._point(trial.number)[len(trial.distributions) % DIMENSIONS]
        return _at(param_distribution, at)

    def _point(self, number: int) -> list[float]:
        """The point's coordinates, from 0 to 1."""
        from torch.quasirandom import SobolEngine  # slow to import, and only this sampler needs it

        if self._current is None or self._current[0] != number:
            # torch declares no types here
            sequence: Any = SobolEngine(DIMENSIONS, scramble=True, seed=self._seed)  # type: ignore[no-untyped-call]
            sequence.fast_forward(number)
            self._current = (number, sequence.draw(1).tolist()[0])
        return self._current[1]


def _at(distribution: BaseDistribution, share: float) -> Any:
    """The value that lies so far up a distribution, in [0, 1), each as likely as it is drawn."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        edge = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        start, end = math.log(low - edge), math.log(high + edge)
        value = min(max(math.exp(start + share * (end - start)), low), high)
        return round(value) if edge else value
    if step is None:
        return low + share * (high - low)
    count = round((high - low) / step) + 1  # Optuna makes `high` the last that can be
    return low + int(share * count) * step
