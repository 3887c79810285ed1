"""Points of a search space, with the learning rates and the shared epochs of each."""

from __future__ import annotations

import hashlib
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

from sweeps.search.optuna_private import DetachedTrial, Suggest
from sweeps.space import Space
from trainer.errors import ConfigError
from trainer.settings.apart import tried_briefly
from trainer.settings.config import TrainConfig

_TRIES = 20  # draws for one point; a space may suggest invalid combinations
_STEP = 1.5  # factor between neighbours in a logarithmic range without steps
_SHARE = 0.1  # fraction of a linear range without steps between neighbours
_BY_SCHEDULE = (
    *("lr", "step_size", "gamma", "warmup", "warmup_start", "epochs"),
    *("scheduler", "scheduler_interval"),
)
"""Fields that affect an epoch through its learning rates only, as scheduler arguments do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """One configuration of a space.

    Attributes:
        params: Optuna's parameters.
        distributions: Optuna's distributions, by parameter name.
        constants: values that are the same in every epoch: the optimizer and its arguments, the
            batch size, ...
        rates: learning rate of each epoch (the mean, if it changes by batch); if the scheduler
            depends on results, the last rate known beforehand is repeated.
        nodes: an id of each epoch; points that share an epoch have the same id.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    constants: Mapping[str, Any]
    rates: tuple[float, ...]
    nodes: tuple[int, ...]

    @cached_property
    def key(self) -> tuple[tuple[str, Any], ...]:
        """Hashable identity of the point."""
        return _key(self.params)


class Points:
    """Creates points of a space, and caches them.

    Args:
        space: search space.
        base: config shared by all trials.
        images: training images per epoch.
        fixed: Optuna's parameters with the same value in all drawn points.
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
        """Number of epochs of each point."""
        return self._base.epochs

    def of(self, params: Mapping[str, Any]) -> Point | None:
        """The point with these parameters; None if the combination is invalid."""
        key = _key(params)
        if key not in self._made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna warns about values out of range
                self._made[key] = self._make(FixedTrial(dict(params)))
        return self._made[key]

    def suggested(self, suggest: Suggest) -> Point | None:
        """The point with the values that `suggest` returns; None if they are invalid together."""

        def value(name: str, distribution: BaseDistribution) -> Any:
            return self._fixed[name] if name in self._fixed else suggest(name, distribution)

        return self._make(DetachedTrial(value))

    def has(self, point: Point) -> bool:
        """Whether the point has the fixed parameters of drawn points."""
        return self._fixed.items() <= dict(point.params).items()

    def draw(self, seed: int) -> Point | None:
        """A random point, the same for the same seed; None if all attempts are invalid."""
        if seed not in self._drawn:
            sampler: Any = RandomSampler(seed=seed)  # uses neither study nor trial
            tries = (
                self.suggested(
                    lambda *parameter: sampler.sample_independent(None, None, *parameter)
                )
                for _ in range(_TRIES)
            )
            self._drawn[seed] = next((point for point in tries if point is not None), None)
        return self._drawn[seed]

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Points that differ by one step of one numeric parameter."""
        for name, item in point.distributions.items():
            for value in _neighbours(point.params[name], item):
                other = self.of({**point.params, name: value})
                if other is not None:
                    yield other

    def _make(self, trial: BaseTrial) -> Point | None:
        try:
            with tried_briefly():
                config = self._space.suggest(trial, self._base)
                key = _key(trial.params)
                point = self._made.get(key) or self._point(
                    trial.params, trial.distributions, config
                )
        except (ConfigError, ValueError):  # Optuna raises ValueError if a parameter is missing
            return None
        self._made[key] = point
        return point

    def _point(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        config: TrainConfig,
    ) -> Point:
        if config.trainable:
            return self._whole(params, distributions, config)

        from trainer.training.schedule import rates_of  # torch is slow to import

        constants = {
            name: value
            for name, value in config.values().items()
            if name not in _BY_SCHEDULE and not name.startswith("scheduler.")
        }
        rates, nodes = [], []
        node: Hashable = tuple((name, str(value)) for name, value in sorted(constants.items()))
        batches = -(-self._images // config.batch_size)
        for each in rates_of(config, batches):  # they do not depend on the device
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

    def _whole(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        config: TrainConfig,
    ) -> Point:
        """The point of a class of the user's: what of its config acts when is not known here."""
        constants = config.values()
        same = tuple((name, str(value)) for name, value in sorted(constants.items()))
        nodes = [
            self._nodes.setdefault((same, epoch), len(self._nodes))
            for epoch in range(config.epochs)
        ]
        return Point(
            params=dict(params),
            distributions=dict(distributions),
            constants=constants,
            rates=(1.0,) * config.epochs,
            nodes=tuple(nodes),
        )


def derive_seed(*words: object) -> int:
    """Derive a 32-bit seed from a seed and what it is for."""
    text = " ".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))


def _neighbours(value: Any, item: BaseDistribution) -> list[Any]:
    """Values one step below and above; none for a categorical parameter."""
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
    else:  # computed as Optuna does, so that equal values are equal floats
        place, last = (round((it - item.low) / step) for it in (value, item.high))
        near = [min(item.low + at * step, item.high) for at in (place - 1, place + 1) if at <= last]
    return [it for it in near if item.low <= it <= item.high and it != value]
