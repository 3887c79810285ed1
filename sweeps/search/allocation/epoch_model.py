"""A model of one epoch, and what it foresees of points that are not trained to their end.

Each epoch that a study trained is one example of what an epoch does to the objective, given where
the run stood, what it is, and the rates before and now. Randomized trees fitted to these examples
are rolled out, tree by tree, from the deepest epoch that is known of a point to its last: a
distribution of curves, for any schedule, from few epochs. Freeze-thaw optimization (Swersky et al.
2014, https://arxiv.org/abs/1406.3896) models whole curves instead, which know no schedules.
Trees: Geurts et al. 2006, https://doi.org/10.1007/s10994-006-6226-1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.points import Point

TREES = 30
LOSES = 1.0
"""By how much an epoch that diverges makes it worse, on the scale of `Curves`."""

Array = NDArray[np.float64]


class EpochModel:
    """Fitted to all that a study has trained.

    Args:
        curves: of the study, of which at least one has a value.
        seed: of the trees.
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
        """Curves of these points: what is known of them, and then a curve for each tree.

        Returns:
            Values of shape (trees, points, epochs), on the scale of `Curves`; infinity from an
            epoch on that is known to have diverged.
        """
        epochs = len(points[0].nodes)
        known = np.array([[self._known(node) for node in point.nodes] for point in points])
        rates = np.array([point.rates for point in points])
        sums = rates.cumsum(axis=1)
        constants = self._constants.rows([point.constants for point in points])
        curves = np.empty((len(self._trees), len(points), epochs))
        now = np.full((len(self._trees), len(points)), self._start)
        lowest = now.copy()
        for epoch in range(epochs):
            new = np.isnan(known[:, epoch])
            before = rates[:, max(epoch - 1, 0)]
            for at, tree in enumerate(self._trees):
                rows = _features(
                    constants[new],
                    epoch,
                    now[at, new],
                    lowest[at, new],
                    before[new],
                    rates[new, epoch],
                    sums[new, epoch],
                )
                if len(rows):
                    now[at, new] += tree.predict(rows.astype(np.float32))[:, 0]
            now[:, ~new] = known[~new, epoch]
            lowest = np.minimum(lowest, now)
            curves[:, :, epoch] = now
        return curves

    def _known(self, node: int) -> float:
        return self._curves.known.get(node, math.nan)

    def _examples(self) -> tuple[Array, Array]:
        """A row for each distinct epoch, and the change of the objective in it."""
        rows, targets, seen = [], [], set()
        for curve in self._curves.all:
            point, now, lowest = curve.point, self._start, self._start
            constants = self._constants.rows([point.constants])
            values = [*curve.values, *([math.inf] if curve.diverged else [])]
            for epoch, value in enumerate(values[: len(point.nodes)]):
                after = max(now, self._start) + LOSES if math.isinf(value) else value
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
    """A row for each point, of what decides what the epoch does."""
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
    """What acts in every epoch alike, as numbers: texts by one column each, numbers as they are."""

    def __init__(self, of: Sequence[Mapping[str, Any]]) -> None:
        names = sorted({name for constants in of for name in constants})
        values = {name: [constants.get(name) for constants in of] for name in names}
        differ = [name for name in names if len(set(map(str, values[name]))) > 1]
        self._numbers = [name for name in differ if all(map(_is_number, values[name]))]
        self._texts = [
            (name, text)
            for name in differ
            if name not in self._numbers
            for text in sorted(set(map(str, values[name])))
        ]

    def rows(self, of: Sequence[Mapping[str, Any]]) -> Array:
        """A row each."""
        numbers = [[_number(it.get(name)) for name in self._numbers] for it in of]
        texts = [[float(str(it.get(name)) == text) for name, text in self._texts] for it in of]
        return np.column_stack(
            [
                np.array(numbers, float).reshape(len(of), len(self._numbers)),
                np.array(texts, float).reshape(len(of), len(self._texts)),
            ]
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: object) -> float:
    """On a scale that is logarithmic for what is far from 0, whatever its sign."""
    return math.asinh(value * 1e6) if isinstance(value, (int, float)) else 0.0
