"""`Outlook`: what a study could train next, with the expected improvement per epoch of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.epoch_model import EpochModel
from sweeps.search.allocation.points import Point, Points, derive_seed

START_TRIALS = 10
"""Number of trials spread over the space before the model is used."""

CANDIDATES = 200
"""Number of random points considered for a new trial, besides the neighbours of the best ones."""

_SPREAD = 30  # random points from which the one farthest from all trials is chosen
_REPLACED = 20  # random candidates replaced by new ones after each trained epoch
_POOL = 2048  # distinct random points in all, as drawing one takes milliseconds
_FAR = 0.7  # decades; upper limit of the distance between learning rates
_TINY = 1e-12  # replaces a learning rate of 0 in a logarithm
_BEST = 10  # trials whose neighbours are candidates


@dataclass(frozen=True)
class Candidate:
    """A point that could be trained next.

    Attributes:
        point: the point.
        trial: number of the suspended trial with this point; None: a new trial.
        known: number of its known epochs.
        gain: expected improvement on the best value, on the scale of `Curves`.
        cost: number of epochs until that improvement.
    """

    point: Point
    trial: int | None
    known: int
    gain: float
    cost: int

    @property
    def gain_per_epoch(self) -> float:
        """Expected improvement per epoch."""
        return self.gain / self.cost


class Outlook:
    """Rates what a study could train next by its expected improvement per epoch.

    Args:
        points: points of the space.
        maximize: whether a higher objective is better.
        seed: seed of the search.
        start_trials: number of trials spread over the space before the model is used.
    """

    def __init__(
        self, points: Points, *, maximize: bool, seed: int, start_trials: int = START_TRIALS
    ) -> None:
        self.points = points
        self.start_trials = start_trials
        self._maximize = maximize
        self._seed = seed
        self._memory: dict[int, Any] = {}
        self._last: tuple[object, list[Candidate]] | None = None

    def curves(self, trials: Sequence[FrozenTrial]) -> Curves:
        """Learning curves of the study's trials."""
        return Curves(trials, self.points, maximize=self._maximize, memory=self._memory)

    def is_own(self, trial: FrozenTrial) -> bool:
        """Whether this outlook could suggest the point of a trial."""
        point = self.points.of(trial.params)
        return point is not None and self.points.has(point)

    def suggestion(self, curves: Curves) -> Point:
        """The point for a new trial."""
        if len(curves.own) < self.start_trials or math.isinf(curves.best):
            return self._spread(curves)
        new = [it for it in self.candidates(curves) if it.trial is None]
        return max(new, key=lambda it: it.gain_per_epoch).point if new else self._spread(curves)

    def candidates(self, curves: Curves) -> list[Candidate]:
        """Suspended trials and new points, each with an unknown epoch to train next."""
        state = [(it.number, it.running, it.granted, it.values, it.diverged) for it in curves.all]
        if self._last is None or self._last[0] != state:
            self._last = (state, self._rate(curves))
        return self._last[1]

    def _rate(self, curves: Curves) -> list[Candidate]:
        found: dict[Any, tuple[Point, int | None]] = {}
        for curve in curves.own:
            if curve.suspended:
                found.setdefault(curve.point.key, (curve.point, curve.number))
        taken = {curve.point.key for curve in curves.own if curve.running}
        for point in self._new_points(curves):
            if point.key not in taken:
                found.setdefault(point.key, (point, None))
        epochs = self.points.epochs
        items = [
            (point, trial, curves.depth(point))
            for point, trial in found.values()
            if not curves.is_pending(point) and not curves.is_futile(point)
        ]
        items = [item for item in items if item[2] < epochs]
        if not items:
            return []
        model = EpochModel(curves, derive_seed(self._seed, "model", len(curves.known)))
        active = [it for it in curves.own if it.running and not it.suspended]
        forecast = model.forecast([*(point for point, _, _ in items), *(it.point for it in active)])
        forecast, expected = forecast[:, : len(items)], forecast[:, len(items) :]
        expected[:, np.arange(epochs) >= np.array([it.granted for it in active])[:, None]] = (
            math.inf
        )
        known = np.array([depth for _, _, depth in items])
        forecast[:, np.arange(epochs) < known[:, None]] = math.inf  # only future epochs count
        lowest, place = forecast.min(axis=2), forecast.argmin(axis=2)
        # pending epochs count as forecast, so that parallel workers do not train the like
        best = np.minimum(curves.best, expected.min(axis=(1, 2), initial=math.inf))
        gains = np.maximum(0.0, best[:, None] - lowest).mean(axis=0)
        costs = np.maximum(1, np.median(place, axis=0) + 1 - known).astype(int)
        return [
            Candidate(point, trial, depth, float(gain), int(cost))
            for (point, trial, depth), gain, cost in zip(items, gains, costs, strict=True)
        ]

    def _new_points(self, curves: Curves) -> list[Point]:
        first = _REPLACED * (len(curves.known) + len(curves.pending))
        drawn = self._draw(range(first, first + CANDIDATES))
        best = sorted(curves.own, key=lambda it: it.best)[:_BEST]
        return drawn + [it for curve in best for it in self.points.neighbours(curve.point)]

    def _spread(self, curves: Curves) -> Point:
        """Of some random points, the one farthest from all trials; of equal ones, the most central.

        Learning rates at the ends of the space are the most likely to diverge or to learn nothing.
        """
        first = _SPREAD * (len(curves.own) + len(curves.failed))
        drawn = self._draw(range(first, first + _SPREAD))
        others = [curve.point for curve in curves.own]
        within = [point for point in drawn if not curves.is_futile(point)] or drawn
        new = [point for point in within if not curves.is_known(point)] or within

        def distance(point: Point) -> float:
            return min((_distance(point, other) for other in others), default=0.0)

        return max(new, key=lambda it: (distance(it), -_off_centre(it)))

    def _draw(self, numbers: Iterable[int]) -> list[Point]:
        seeds = (derive_seed(self._seed, "point", number) % _POOL for number in numbers)
        return [point for point in map(self.points.draw, seeds) if point is not None]


def _off_centre(point: Point) -> float:
    """Mean distance of the parameters from the centre of their ranges, 0 to 0.5."""
    distances = []
    for name, item in point.distributions.items():
        if isinstance(item, (IntDistribution, FloatDistribution)) and item.low < item.high:
            low, value, high = item.low, point.params[name], item.high
            if item.log:
                low, value, high = math.log(low), math.log(value), math.log(high)
            distances.append(abs((value - low) / (high - low) - 0.5))
    return sum(distances) / len(distances) if distances else 0.0


def _distance(one: Point, other: Point) -> float:
    """Number of differing constants; if there are none, decades between learning rates."""
    names = one.constants.keys() | other.constants.keys()
    unlike = sum(one.constants.get(name) != other.constants.get(name) for name in names)
    ends = [(one.rates[0], other.rates[0]), (sum(one.rates), sum(other.rates))]
    decades = sum(abs(math.log10(max(a, _TINY) / max(b, _TINY))) for a, b in ends)
    return float(unlike or min(decades, _FAR))
