"""Points of a search space: what a suggestion would train, known without training it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import BaseTrial, FixedTrial

from sweeps.search.allocation.asked import AskedTrial, Suggest
from sweeps.space import Space
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

_TRIES = 20  # draws for one point; a space may give values that cannot be together
_STEP = 1.5  # between neighbours in a logarithmic range without steps
_SHARE = 0.1  # of another range without steps
_BY_SCHEDULE = (
    *("lr", "step_size", "gamma", "warmup", "warmup_start", "epochs"),
    *("scheduler", "scheduler_interval"),
)
"""Fields that act in an epoch through the rates alone, as do the arguments of the scheduler."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """One configuration of a space.

    Attributes:
        params: as Optuna has them.
        distributions: that they were drawn from, by the same names.
        constants: what acts in every epoch alike, by name: the optimizer and its arguments, the
            batch size, ...
        rates: the learning rate of each epoch (by batch: its mean); where the schedule looks at
            results, the first one throughout.
        nodes: a number for each epoch, the same for points that share it.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    constants: Mapping[str, Any]
    rates: tuple[float, ...]
    nodes: tuple[int, ...]

    @cached_property
    def key(self) -> tuple[tuple[str, Any], ...]:
        """Tells points apart."""
        return _key(self.params)


class Points:
    """The points of a space, each made once.

    Args:
        space: what a trial may be.
        base: what all trials have in common.
        images: in an epoch.
        fixed: Optuna's parameters that all points drawn have.
    """

    def __init__(
        self,
        space: Space,
        base: TrainConfig,
        images: int,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self._fixed = fixed or {}
        self._space = space
        self._base = base
        self._images = images
        self._made: dict[Hashable, Point | None] = {}
        self._nodes: dict[Hashable, int] = {}
        self._drawn: dict[int, Point | None] = {}

    @property
    def epochs(self) -> int:
        """Of each point."""
        return self._base.epochs

    def of(self, params: Mapping[str, Any]) -> Point | None:
        """The point of these parameters; None where they cannot be together."""
        key = _key(params)
        if key not in self._made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values that are out of their range
                self._made[key] = self._make(FixedTrial(dict(params)))
        return self._made[key]

    def asked(self, suggest: Suggest) -> Point | None:
        """The point of what `suggest` gives for each parameter; None where it cannot be."""

        def value(name: str, distribution: BaseDistribution) -> Any:
            return self._fixed[name] if name in self._fixed else suggest(name, distribution)

        return self._make(AskedTrial(value))

    def has(self, point: Point) -> bool:
        """Whether the point has the parameters that all points drawn have."""
        return self._fixed.items() <= dict(point.params).items()

    def draw(self, seed: int) -> Point | None:
        """A point drawn at random, the same for the same seed; None where nothing drawn can be."""
        if seed not in self._drawn:
            sampler: Any = RandomSampler(seed=seed)  # asks neither study nor trial
            tries = (
                self.asked(lambda *parameter: sampler.sample_independent(None, None, *parameter))
                for _ in range(_TRIES)
            )
            self._drawn[seed] = next((point for point in tries if point is not None), None)
        return self._drawn[seed]

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Points that differ in one parameter, which is not categorical, by a step."""
        for name, item in point.distributions.items():
            for value in _beside(point.params[name], item):
                other = self.of({**point.params, name: value})
                if other is not None:
                    yield other

    def _make(self, trial: BaseTrial) -> Point | None:
        try:
            config = self._space.suggest(trial, self._base)
            key = _key(trial.params)
            point = self._made.get(key) or self._point(trial.params, trial.distributions, config)
        except (ConfigError, ValueError):  # Optuna's, where a parameter is missing
            return None
        self._made[key] = point
        return point

    def _point(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        config: TrainConfig,
    ) -> Point:
        from trainer.training.optim import find_optimizer  # torch is slow to import
        from trainer.training.schedule import Schedule

        constants = {
            name: value
            for name, value in config.values().items()
            if name not in _BY_SCHEDULE and not name.startswith("scheduler.")
        }
        rates, nodes = [], []
        node: Hashable = tuple((name, str(value)) for name, value in sorted(constants.items()))
        batches = -(-self._images // config.batch_size)
        schedule = Schedule(config, find_optimizer(config.optimizer, config.optimizer_args))
        for each in schedule.rates(batches, device="cpu"):  # rates are the same on any device
            scalars = str((each.scalars, each.batches))
            node = self._nodes.setdefault((node, scalars), len(self._nodes))
            nodes.append(node)
            moved = [batch["lr"] for batch in each.batches] or [each.scalars["lr"]]
            rates.append(float(sum(moved) / len(moved)))
        while len(rates) < config.epochs:
            rates.append(rates[-1])
            nodes.append(self._nodes.setdefault((nodes[-1], _key(params)), len(self._nodes)))
        return Point(
            params=dict(params),
            distributions=dict(distributions),
            constants=constants,
            rates=tuple(rates),
            nodes=tuple(nodes),
        )


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))


def _beside(value: Any, item: BaseDistribution) -> list[Any]:
    """The values next to this one, or a little away from it."""
    if isinstance(item, CategoricalDistribution):
        return []
    assert isinstance(item, (IntDistribution, FloatDistribution))
    step: float | None = item.step
    if item.log and isinstance(item, FloatDistribution):
        near = [value / _STEP, value * _STEP]
    elif item.log:
        near = [math.floor(value / _STEP), math.ceil(value * _STEP)]
    elif step is None:
        near = [value - _SHARE * (item.high - item.low), value + _SHARE * (item.high - item.low)]
    elif isinstance(item, IntDistribution):
        near = [value - item.step, value + item.step]
    else:  # as Optuna counts them, so that the same value is the same number
        place, last = (round((it - item.low) / step) for it in (value, item.high))
        near = [min(item.low + at * step, item.high) for at in (place - 1, place + 1) if at <= last]
    return [it for it in near if item.low <= it <= item.high and it != value]
