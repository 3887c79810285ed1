"""Learning curves of a study's trials, with each shared epoch counted once.

They are read from Optuna's trials only, so that decisions are a function of the study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.points import Point, Points

GRANTED = "granted"
"""User attribute of a trial: each decision that it may train further, as (number of the decision in
the study, epochs that the study had taken into account by then, epochs that the trial may train in
all). An earlier version stored only the last number."""

EPOCHS = "epochs"
"""User attribute of an ended trial: number of its epochs, including a diverged one."""

DIVERGED_CONSTRAINT = "diverged"
"""Optuna constraint, violated by a trial that diverged in the epoch after its last reported one."""

DIVERGED_ATTR = "diverged"
"""User attribute of a diverged trial that is complete in Optuna, with a penalty as its value."""


def granted_to(trial: FrozenTrial) -> int | None:
    """Epochs that a trial may train before it is suspended; None: nobody decided yet."""
    granted = trial.user_attrs.get(GRANTED)
    last: int | None = granted[-1][-1] if isinstance(granted, list) else granted
    return last


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Learning curve of a trial.

    Attributes:
        number: number of the trial in Optuna.
        point: point that the trial trains.
        values: finite values of epochs 1, 2, ..., on the scale of `Curves`: lower is better.
        diverged: whether the next epoch diverged.
        granted: number of epochs that the trial may train.
        running: whether the trial has not ended; suspended trials are running in Optuna.
    """

    number: int
    point: Point
    values: tuple[float, ...]
    diverged: bool
    granted: int
    running: bool

    @property
    def suspended(self) -> bool:
        """Whether the trial has trained all granted epochs and waits for more."""
        return self.running and len(self.values) >= self.granted

    @property
    def best(self) -> float:
        """The lowest value; infinity if there is none."""
        return min(self.values, default=math.inf)


class Curves:
    """All learning curves of a study.

    Values are transformed so that lower is better and differences are comparable: log(loss);
    log(1.01 - value) for a metric in [0, 1]; otherwise the value divided by the standard deviation.

    An epoch is identified by its node in `Point.nodes`, so that trials share common epochs.

    Args:
        trials: trials of the study, each with the objective of every epoch as reported values.
        points: points of the space.
        maximize: whether a higher objective is better.
        memory: what is known of finished trials by their numbers, for the next time; without it a
            study of thousands of trials takes most of its time here.

    Attributes:
        all: all curves, by trial number.
        own: curves of points that `points` can draw; the model learns from the others, too.
        known: transformed value of each known epoch, by node; infinity if it diverged.
        reported: reported value of each known epoch that did not diverge, by node.
        pending: nodes of epochs granted to a trial and not known yet.
        failed: nodes of epochs in which trials failed.
    """

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        points: Points,
        *,
        maximize: bool,
        memory: dict[int, _Facts] | None = None,
    ) -> None:
        memory = {} if memory is None else memory
        facts = [_facts_of(trial, points, memory) for trial in trials]
        self._points = points
        self._scale = _Scale(facts, maximize=maximize)
        self.all: list[Curve] = []
        self.own: list[Curve] = []
        self.known: dict[int, float] = {}
        self.reported: dict[int, float] = {}
        self.pending: set[int] = set()
        self.failed: set[int] = set()
        for fact in facts:
            if fact.point is None:
                continue
            if fact.trial.state == TrialState.FAIL:
                self.failed.update(fact.point.nodes[len(fact.trial.intermediate_values) :][:1])
            else:
                self._add(fact, fact.point)

    @cached_property
    def best(self) -> float:
        """The lowest value of own curves; infinity if there is none."""
        return min((curve.best for curve in self.own), default=math.inf)

    @property
    def spent(self) -> int:
        """Number of distinct epochs of own curves, trained or granted."""
        nodes = {node for curve in self.own for node in curve.point.nodes}
        return len(nodes & (self.known.keys() | self.pending))

    def depth(self, point: Point) -> int:
        """Number of known epochs of a point; all of them if one diverged."""
        for epoch, node in enumerate(point.nodes):
            if node not in self.known:
                return epoch
            if math.isinf(self.known[node]):
                return len(point.nodes)
        return len(point.nodes)

    def depth_of(self, trial: FrozenTrial) -> int:
        """Number of known epochs of a trial's point; 0 if its parameters are invalid."""
        point = self._points.of(trial.params)
        return self.depth(point) if point else 0

    def is_futile(self, point: Point) -> bool:
        """Whether an epoch of the point has failed, or it is expected to diverge."""
        return not self.failed.isdisjoint(point.nodes) or self.is_beyond(point)

    def is_known(self, point: Point) -> bool:
        """Whether every epoch of the point is known or pending."""
        depth = self.depth(point)
        return self.pending.issuperset(point.nodes[depth:])

    def is_pending(self, point: Point) -> bool:
        """Whether the first unknown epoch of the point is pending."""
        depth = self.depth(point)
        return depth < len(point.nodes) and point.nodes[depth] in self.pending

    def is_beyond(self, point: Point) -> bool:
        """Whether a trial with the same constants and nowhere higher learning rates diverged."""
        rates = np.array(point.rates)
        return any(
            curve.diverged
            and curve.point.constants == point.constants
            and bool((rates >= np.array(curve.point.rates))[: len(curve.values) + 1].all())
            for curve in self.all
        )

    def _add(self, fact: _Facts, point: Point) -> None:
        curve, nodes, epochs = fact.curve(self._scale), point.nodes, len(fact.values)
        self.known.update(zip(nodes, curve.values, strict=False))
        self.reported.update(zip(nodes, fact.values, strict=False))
        if curve.diverged:
            self.known[nodes[epochs]] = math.inf
        if curve.running:
            self.pending.update(nodes[epochs : curve.granted])
        self.all.append(curve)
        if self._points.has(point):
            self.own.append(curve)


class _Facts:
    """What a trial tells, whatever other trials do.

    Attributes:
        trial: the trial.
        point: its point; None: it has none, or has not started.
        finite: its finite reported values.
        values: those of epochs 1, 2, ... up to the first that is missing or not finite.
    """

    def __init__(self, trial: FrozenTrial, points: Points) -> None:
        self.trial = trial
        self.point = None if trial.state == TrialState.WAITING else points.of(trial.params)
        reported = trial.intermediate_values
        self.finite = [value for value in reported.values() if math.isfinite(value)]
        self.values: list[float] = []
        for epoch in range(1, len(self.point.nodes) + 1 if self.point else 1):
            value = reported.get(epoch, math.nan)
            if not math.isfinite(value):
                break
            self.values.append(value)
        self._curve: tuple[_Scale, Curve] | None = None

    def curve(self, scale: _Scale) -> Curve:
        """The curve of a trial that has a point."""
        assert self.point is not None
        if self._curve is None or self._curve[0] != scale:
            epochs, all_epochs = len(self.values), len(self.point.nodes)
            curve = Curve(
                number=self.trial.number,
                point=self.point,
                values=tuple(map(scale, self.values)),
                diverged=epochs < all_epochs and _diverged_after(self.trial, epochs),
                granted=granted_to(self.trial) or all_epochs,
                running=self.trial.state == TrialState.RUNNING,
            )
            self._curve = scale, curve
        return self._curve[1]


def _facts_of(trial: FrozenTrial, points: Points, memory: dict[int, _Facts]) -> _Facts:
    """The facts of a trial; those of a finished one, which Optuna never changes, are kept."""
    known = memory.get(trial.number)
    if known is None or known.trial is not trial:
        known = _Facts(trial, points)
        if trial.state.is_finished():
            memory[trial.number] = known
    return known


def _diverged_after(trial: FrozenTrial, epochs: int) -> bool:
    """Whether the epoch after the first `epochs` diverged.

    With two objectives no epoch is reported, so attributes of the trial are read as well.
    """
    penalized = trial.state == TrialState.COMPLETE and trial.user_attrs.get(DIVERGED_ATTR)
    if penalized or trial.constraints.get(DIVERGED_CONSTRAINT, 0) > 0:
        return bool(trial.user_attrs.get(EPOCHS, epochs + 1) == epochs + 1)
    return epochs + 1 in trial.intermediate_values


class _Scale:
    """Transforms values of an objective as described in `Curves`; equal ones do the same."""

    def __init__(self, facts: Sequence[_Facts], *, maximize: bool) -> None:
        finite = [fact.finite for fact in facts if fact.finite] or [[1.0]]
        least, most = min(map(min, finite)), max(map(max, finite))
        self._maximize = maximize
        self._share = maximize and least >= 0 and most <= 1
        self._loss = not maximize and least > 0
        self._deviation = 1.0
        if not self._share and not self._loss:
            self._deviation = float(np.array([*chain.from_iterable(finite)]).std()) or 1.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Scale) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((*vars(self).values(),))

    def __call__(self, value: float) -> float:
        if self._loss:
            return math.log(value)
        if self._share:
            return math.log(1.01 - value)
        return (-value if self._maximize else value) / self._deviation
