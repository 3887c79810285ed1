"""What a study has trained so far, as its trials tell: curves over points, and shared epochs once.

All of it is read from Optuna's trials, so that what is decided depends on the study alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.points import Point, Points

GRANTED = "granted"
"""User attribute of a trial: each decision that it may train further, as (number of the decision in
the study, epochs that the study had taken into account by then, epochs that the trial may train in
all). An earlier version stored only the last number."""

EPOCHS = "epochs"
"""User attribute of a trial that has ended: epochs that it trained, the one that diverged too."""

DIVERGED_CONSTRAINT = "diverged"
"""Name of the constraint of a trial that diverged, in the epoch after its last reported one."""

DIVERGED_ATTR = "diverged"
"""Marks a diverged trial that Optuna has as a complete one, with a penalty for a value."""


def granted_to(trial: FrozenTrial) -> int | None:
    """Epochs that a trial may train before it is suspended; None: nobody decided yet."""
    granted = trial.user_attrs.get(GRANTED)
    last: int | None = granted[-1][-1] if isinstance(granted, list) else granted
    return last


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A trial and what it has.

    Attributes:
        number: Optuna's, of the trial.
        point: that it trains.
        values: of epochs 1, 2, ..., all finite; lower is better; see `Curves`.
        diverged: whether the epoch after these diverged.
        granted: epochs that it may train.
        running: whether it is not over.
    """

    number: int
    point: Point
    values: tuple[float, ...]
    diverged: bool
    granted: int
    running: bool

    @property
    def suspended(self) -> bool:
        """Whether it waits for further epochs to be granted."""
        return self.running and len(self.values) >= self.granted

    @property
    def best(self) -> float:
        """The lowest value; infinity where it has none."""
        return min(self.values, default=math.inf)


class Curves:
    """All curves of a study.

    Values are on a scale on which lower is better and differences mean something: the logarithm of
    a loss, that of the share which a metric of at most 1 lacks, or else the value over the
    deviation of all.

    Args:
        trials: of the study, with each epoch's objective reported as it was.
        points: of the space.
        maximize: whether more of the objective is better.

    Attributes:
        all: every curve, by the numbers of the trials.
        own: those whose points `points` could draw; the others only teach.
        known: the value of each known epoch, by its node; infinity where it diverged.
        reported: the same as it was reported, of those that did not diverge.
        pending: nodes that are granted to some trial, and not known.
        failed: nodes of the epochs in which trials failed.
    """

    def __init__(self, trials: Sequence[FrozenTrial], points: Points, *, maximize: bool) -> None:
        reported = [value for it in trials for value in it.intermediate_values.values()]
        raw = [value for value in reported if math.isfinite(value)]
        self._points = points
        self._scale = _Scale(np.array(raw or [1.0]), maximize=maximize)
        self.all: list[Curve] = []
        self.own: list[Curve] = []
        self.known: dict[int, float] = {}
        self.reported: dict[int, float] = {}
        self.pending: set[int] = set()
        self.failed: set[int] = set()
        for trial in trials:
            point = None if trial.state == TrialState.WAITING else points.of(trial.params)
            if point is None:
                continue
            if trial.state == TrialState.FAIL:
                self.failed.update(point.nodes[len(trial.intermediate_values) :][:1])
            else:
                self._add(trial, point)

    @cached_property
    def best(self) -> float:
        """The lowest value of the own ones; infinity where there is none."""
        return min((curve.best for curve in self.own), default=math.inf)

    @property
    def spent(self) -> int:
        """Distinct epochs of the own ones, trained or granted."""
        nodes = {node for curve in self.own for node in curve.point.nodes}
        return len(nodes & (self.known.keys() | self.pending))

    @property
    def has_pending(self) -> bool:
        """Whether an epoch is on its way."""
        return not self.pending.issubset(self.known)

    def depth(self, point: Point) -> int:
        """How many of a point's epochs are known, the one that diverged included."""
        for epoch, node in enumerate(point.nodes):
            if node not in self.known:
                return epoch
            if math.isinf(self.known[node]):
                return len(point.nodes)
        return len(point.nodes)

    def depth_of(self, trial: FrozenTrial) -> int:
        """The same of a trial's point; 0 where it is none."""
        point = self._points.of(trial.params)
        return self.depth(point) if point else 0

    def is_futile(self, point: Point) -> bool:
        """Whether an epoch of the point failed, or it lies beyond the border of divergence."""
        return not self.failed.isdisjoint(point.nodes) or self.is_beyond(point)

    def is_known(self, point: Point) -> bool:
        """Whether all of the point's epochs are known, or on their way for a trial."""
        depth = self.depth(point)
        return self.pending.issuperset(point.nodes[depth:])

    def is_pending(self, point: Point) -> bool:
        """Whether the point's next unknown epoch is on its way for a trial."""
        depth = self.depth(point)
        return depth < len(point.nodes) and point.nodes[depth] in self.pending

    def is_beyond(self, point: Point) -> bool:
        """Whether rates that are nowhere higher diverged, everything else being equal."""
        rates = np.array(point.rates)
        return any(
            curve.diverged
            and curve.point.constants == point.constants
            and bool((rates >= np.array(curve.point.rates))[: len(curve.values) + 1].all())
            for curve in self.all
        )

    def _add(self, trial: FrozenTrial, point: Point) -> None:
        values: list[float] = []
        for epoch in range(1, len(point.nodes) + 1):
            value = trial.intermediate_values.get(epoch, math.nan)
            if not math.isfinite(value):
                break
            values.append(self._scale(value))
            self.known[point.nodes[epoch - 1]] = values[-1]
            self.reported[point.nodes[epoch - 1]] = value
        diverged = len(values) < len(point.nodes) and _diverged_after(trial, len(values))
        if diverged:
            self.known[point.nodes[len(values)]] = math.inf
        running = trial.state == TrialState.RUNNING
        granted = granted_to(trial) or len(point.nodes)
        if running:
            self.pending.update(point.nodes[len(values) : granted])
        curve = Curve(
            number=trial.number,
            point=point,
            values=tuple(values),
            diverged=diverged,
            granted=granted,
            running=running,
        )
        self.all.append(curve)
        if self._points.has(point):
            self.own.append(curve)


def _diverged_after(trial: FrozenTrial, epochs: int) -> bool:
    """Whether the epoch after so many diverged; of two objectives no epoch is reported."""
    penalized = trial.state == TrialState.COMPLETE and trial.user_attrs.get(DIVERGED_ATTR)
    if penalized or trial.constraints.get(DIVERGED_CONSTRAINT, 0) > 0:
        return bool(trial.user_attrs.get(EPOCHS, epochs + 1) == epochs + 1)
    return epochs + 1 in trial.intermediate_values


class _Scale:
    """Brings an objective to a scale on which lower is better, and a step means the same."""

    def __init__(self, values: NDArray[np.float64], *, maximize: bool) -> None:
        self._maximize = maximize
        self._share = maximize and bool(((values >= 0) & (values <= 1)).all())
        self._loss = not maximize and bool((values > 0).all())
        self._deviation = float(values.std()) or 1.0

    def __call__(self, value: float) -> float:
        if self._loss:
            return math.log(value)
        if self._share:
            return math.log(1.01 - value)
        return (-value if self._maximize else value) / self._deviation
