"""What a study could train next, each weighed by what it is expected to gain for an epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.epoch_model import EpochModel
from sweeps.search.allocation.points import Point, Points

START_TRIALS = 10
"""Trials spread over the space before the model is asked."""

CANDIDATES = 200
"""Points drawn at random that are weighed for a new trial, beside the neighbours of the best."""

_SPREAD = 30  # draws of which that is taken that lies farthest from all trials
_MOVED = 20  # of the candidates are others for each epoch that was trained
_POOL = 2048  # points drawn in all, as drawing one takes milliseconds
_FAR = 0.7  # decades; rates that lie farther apart count as this far
_TINY = 1e-12  # in place of a rate of 0
_BEST = 10  # trials whose neighbours are candidates


@dataclass(frozen=True)
class Chance:
    """Something that could be trained next.

    Attributes:
        point: what it is.
        trial: of a suspended trial, its number; None: no trial has the point.
        known: epochs of it that the study knows.
        gain: by how much it is expected to lower the best value, on the scale of `Curves`.
        cost: epochs until then.
    """

    point: Point
    trial: int | None
    known: int
    gain: float
    cost: int

    @property
    def worth(self) -> float:
        """The gain for each epoch."""
        return self.gain / self.cost


class Outlook:
    """What could be trained next, weighed.

    Args:
        points: of the space.
        maximize: whether more of the objective is better.
        seed: of the search.
        start_trials: trials spread over the space before the model is asked.
    """

    def __init__(
        self, points: Points, *, maximize: bool, seed: int, start_trials: int = START_TRIALS
    ) -> None:
        self.points = points
        self.start_trials = start_trials
        self._maximize = maximize
        self._seed = seed
        self._last: tuple[object, list[Chance]] | None = None

    def curves(self, trials: Sequence[FrozenTrial]) -> Curves:
        """Of the study."""
        return Curves(trials, self.points, maximize=self._maximize)

    def is_own(self, trial: FrozenTrial) -> bool:
        """Whether a trial is one that this outlook could suggest."""
        point = self.points.of(trial.params)
        return point is not None and self.points.has(point)

    def suggestion(self, curves: Curves) -> Point:
        """The point of a new trial."""
        if len(curves.own) < self.start_trials or math.isinf(curves.best):
            return self._spread(curves)
        new = [chance for chance in self.chances(curves) if chance.trial is None]
        return max(new, key=lambda it: it.worth).point if new else self._spread(curves)

    def chances(self, curves: Curves) -> list[Chance]:
        """Each suspended trial, and points that no trial has, whose next epoch is not known."""
        state = [(it.number, it.running, it.granted, it.values, it.diverged) for it in curves.all]
        if self._last is None or self._last[0] != state:
            self._last = (state, self._weighed(curves))
        return self._last[1]

    def _weighed(self, curves: Curves) -> list[Chance]:
        found: dict[Any, tuple[Point, int | None]] = {}
        for curve in curves.own:
            if curve.suspended:
                found.setdefault(curve.point.key, (curve.point, curve.number))
        taken = {curve.point.key for curve in curves.own if curve.running}
        for point in self._candidates(curves):
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
        model = EpochModel(curves, self._derive("model", len(curves.known)))
        active = [it for it in curves.own if it.running and not it.suspended]
        forecast = model.forecast([*(point for point, _, _ in items), *(it.point for it in active)])
        forecast, expected = forecast[:, : len(items)], forecast[:, len(items) :]
        expected[:, np.arange(epochs) >= np.array([it.granted for it in active])[:, None]] = (
            math.inf
        )
        known = np.array([depth for _, _, depth in items])
        forecast[:, np.arange(epochs) < known[:, None]] = math.inf  # only what is to come
        lowest, place = forecast.min(axis=2), forecast.argmin(axis=2)
        # what is on its way counts as each tree expects it, so that workers do not do the same
        best = np.minimum(curves.best, expected.min(axis=(1, 2), initial=math.inf))
        gains = np.maximum(0.0, best[:, None] - lowest).mean(axis=0)
        costs = np.maximum(1, np.median(place, axis=0) + 1 - known).astype(int)
        return [
            Chance(point, trial, depth, float(gain), int(cost))
            for (point, trial, depth), gain, cost in zip(items, gains, costs, strict=True)
        ]

    def _candidates(self, curves: Curves) -> list[Point]:
        first = _MOVED * (len(curves.known) + len(curves.pending))
        drawn = self._drawn(range(first, first + CANDIDATES))
        best = sorted(curves.own, key=lambda it: it.best)[:_BEST]
        return drawn + [it for curve in best for it in self.points.neighbours(curve.point)]

    def _spread(self, curves: Curves) -> Point:
        """Of some points one that is unlike those of the trials; of these the one in the middle.

        At the ends of the space are most of the rates that diverge, or learn nothing.
        """
        first = _SPREAD * (len(curves.own) + len(curves.failed))
        drawn = self._drawn(range(first, first + _SPREAD))
        others = [curve.point for curve in curves.own]
        within = [point for point in drawn if not curves.is_futile(point)] or drawn
        new = [point for point in within if not curves.is_known(point)] or within
        return max(new, key=lambda it: (_away(it, others), -_off_middle(it)))

    def _drawn(self, numbers: Iterable[int]) -> list[Point]:
        seeds = (self._derive("point", number) % _POOL for number in numbers)
        return [point for point in map(self.points.draw, seeds) if point is not None]

    def _derive(self, *words: object) -> int:
        text = " ".join(map(str, (self._seed, *words)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _away(point: Point, others: Sequence[Point]) -> float:
    """How far a point is from the nearest of others: by constants, and then by decades of rates."""
    return min((_distance(point, other) for other in others), default=0.0)


def _off_middle(point: Point) -> float:
    """How far the parameters lie from the middle of their ranges, 0 to 0.5, on average."""
    away = []
    for name, item in point.distributions.items():
        if isinstance(item, (IntDistribution, FloatDistribution)) and item.low < item.high:
            low, value, high = item.low, point.params[name], item.high
            if item.log:
                low, value, high = math.log(low), math.log(value), math.log(high)
            away.append(abs((value - low) / (high - low) - 0.5))
    return sum(away) / len(away) if away else 0.0


def _distance(one: Point, other: Point) -> float:
    names = one.constants.keys() | other.constants.keys()
    unlike = sum(one.constants.get(name) != other.constants.get(name) for name in names)
    ends = [(one.rates[0], other.rates[0]), (sum(one.rates), sum(other.rates))]
    decades = sum(abs(math.log10(max(a, _TINY) / max(b, _TINY))) for a, b in ends)
    return float(unlike or min(decades, _FAR))
