"""A model of one epoch, and forecasts of learning curves with it.

Each trained epoch is one example: the change of the objective, given its value before, the
constants of the configuration, and the learning rates. Extremely randomized trees (Geurts et al.
2006, https://doi.org/10.1007/s10994-006-6226-1) are fitted to these examples, and each tree is
rolled out from the last known epoch of a point to its end. The result is a distribution of curves,
for any schedule, from few epochs. Freeze-thaw optimization (Swersky et al. 2014,
https://arxiv.org/abs/1406.3896) models whole curves instead, without schedules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.points import Point
from trainer.settings.fields import is_number

TREES = 30
DIVERGENCE_PENALTY = 1.0
"""Change of the objective in a diverged epoch, on the scale of `Curves`."""

Array = NDArray[np.float64]


class EpochModel:
    """Model of the change of the objective in one epoch, fitted to all epochs of a study.

    Args:
        curves: curves of the study, at least one of them with a value.
        seed: seed of the trees.
    """

    def __init__(self, curves: Curves, seed: int) -> None:
        from sklearn.ensemble import ExtraTreesRegressor  # slow to import

        self._curves = curves
        firsts = [curve.values[0] for curve in curves.all if curve.values]
        self._start = float(np.median(firsts))
        self._constants = _Constants([curve.point.constants for curve in curves.all])
        rows, targets = self._examples()
        forest = ExtraTreesRegressor(TREES, random_state=seed)
        forest.fit(rows.astype(np.float32), targets)
        self._trees = [tree.tree_ for tree in forest.estimators_]

    def forecast(self, points: Sequence[Point]) -> Array:
        """Forecast curves of points: known epochs, continued by each tree.

        Returns:
            Values of shape (trees, points, epochs) on the scale of `Curves`; infinity from a
            diverged epoch on.
        """
        epochs = len(points[0].nodes)
        values = self._curves.known
        known = np.array([[values.get(node, math.nan) for node in point.nodes] for point in points])
        rates = np.array([point.rates for point in points])
        sums = rates.cumsum(axis=1)
        constants = self._constants.rows([point.constants for point in points])
        curves = np.empty((len(self._trees), len(points), epochs))
        now = np.full((len(self._trees), len(points)), self._start)
        lowest = now.copy()
        for epoch in range(epochs):
            unknown = np.isnan(known[:, epoch])
            before = rates[:, max(epoch - 1, 0)]
            for at, tree in enumerate(self._trees):
                rows = _features(
                    constants[unknown],
                    epoch,
                    now[at, unknown],
                    lowest[at, unknown],
                    before[unknown],
                    rates[unknown, epoch],
                    sums[unknown, epoch],
                )
                if len(rows):
                    now[at, unknown] += tree.predict(rows.astype(np.float32))[:, 0]
            now[:, ~unknown] = known[~unknown, epoch]
            lowest = np.minimum(lowest, now)
            curves[:, :, epoch] = now
        return curves

    def _examples(self) -> tuple[Array, Array]:
        """Features of each distinct epoch, and the change of the objective in it."""
        rows, targets, seen = [], [], set()
        for curve in self._curves.all:
            point, now, lowest = curve.point, self._start, self._start
            constants = self._constants.rows([point.constants])
            values = [*curve.values, *([math.inf] if curve.diverged else [])]
            for epoch, value in enumerate(values[: len(point.nodes)]):
                after = value
                if math.isinf(value):
                    after = max(now, self._start) + DIVERGENCE_PENALTY
                if point.nodes[epoch] not in seen:
                    seen.add(point.nodes[epoch])
                    row = _features(
                        constants,
                        epoch,
                        np.array([now]),
                        np.array([lowest]),
                        np.array([point.rates[max(epoch - 1, 0)]]),
                        np.array([point.rates[epoch]]),
                        np.array([sum(point.rates[: epoch + 1])]),
                    )
                    rows.append(row[0])
                    targets.append(after - now)
                now, lowest = after, min(lowest, after)
        return np.array(rows), np.array(targets)


def _features(
    constants: Array,
    epoch: int,
    now: Array,
    lowest: Array,
    before: Array,
    rate: Array,
    total: Array,
) -> Array:
    """Feature matrix of one epoch, with a row for each point."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.stack([before, rate, total], axis=1)).clip(-50)
    return np.column_stack(
        [
            constants,
            np.full(len(now), epoch + 1.0),
            now,
            lowest,
            logs,
            logs[:, 1] - logs[:, 0],
        ]
    )


class _Constants:
    """Encodes `Point.constants` as numbers, with a one-hot column for each text."""

    def __init__(self, of: Sequence[Mapping[str, Any]]) -> None:
        names = sorted({name for constants in of for name in constants})
        values = {name: [constants.get(name) for constants in of] for name in names}
        differ = [name for name in names if len(set(map(str, values[name]))) > 1]
        self._numbers = [name for name in differ if all(map(is_number, values[name]))]
        self._texts = [
            (name, text)
            for name in differ
            if name not in self._numbers
            for text in sorted(set(map(str, values[name])))
        ]

    def rows(self, of: Sequence[Mapping[str, Any]]) -> Array:
        """Encode each mapping as a row."""
        numbers = [[_number(it.get(name)) for name in self._numbers] for it in of]
        texts = [[float(str(it.get(name)) == text) for name, text in self._texts] for it in of]
        return np.column_stack(
            [
                np.array(numbers, float).reshape(len(of), len(self._numbers)),
                np.array(texts, float).reshape(len(of), len(self._texts)),
            ]
        )


def _number(value: object) -> float:
    """Transform a number to a signed logarithmic scale; anything else is 0."""
    return math.asinh(value * 1e6) if isinstance(value, (int, float)) else 0.0
