"""Stages and their keys: each epoch of a config has the hash of all that determines its result.

The key of stage 0 hashes every constant of the run. The key of stage k hashes the key of stage k-1
and the learning rate and other values of the parameter groups in epoch k. It does not contain
`step_size` and `gamma`, only the rates that follow from them: configs share their stages for as
long as their rates agree.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from trainer.data import Data
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.training.device import platform
from trainer.training.recipe import Recipe, UserRecipe, recipe_of
from trainer.training.schedule import Rates

NUMERICS = 1
"""Version of the arithmetic: raise it with every change that alters the bits of a result."""

_KEYED_ALWAYS = frozenset(
    {"batch_size", "device", "loss", "model", "optimizer", "seed", "shuffle", "threads"}
)
_KEYED_OTHERWISE = frozenset(
    {"dataset", "image_size", "limit", "split"}  # by the digests of the data
    | {"epochs", "gamma", "lr", "scheduler", "scheduler_args", "scheduler_interval", "step_size"}
    | {"warmup", "warmup_start"}  # these and the line above by the learning rates
    | {"deterministic"}  # by `_constants`
    | {"model_args", "loss_args", "optimizer_args", "trainable_args"}  # by the facts of the recipe
    | {"metrics", "metric_args"}  # by the keys of results
)
"""Fields of a config that are not hashed by themselves; every other one is, new ones too."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One epoch of a config, or its initial state (epoch 0).

    Attributes:
        epoch: counted from 1; 0 is the initial state.
        rates: learning rates of the epoch, or what a class of the user's says to be in force in
            it; empty for stage 0.
        key: under which the state after the epoch is stored.
        result_key: under which its result is stored, which depends on the validation data and the
            metrics of the user's too.
    """

    epoch: int
    rates: Rates
    key: str
    result_key: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known of a run before its next epoch is trained.

    Attributes:
        stages: 0, 1, ... to the last, or as far as the results determine them.
        environment: see `environment`.
    """

    stages: tuple[Stage, ...]
    environment: Mapping[str, Any]


class Planner(Protocol):
    """Makes plans: `plan_of` with its data, or with that of another process."""

    def __call__(self, config: TrainConfig, val_losses: Sequence[float] = ()) -> Plan:
        """The plan of a config, with the results of its first epochs."""


def plan_of(data: Data, config: TrainConfig, val_losses: Sequence[float] = ()) -> Plan:
    """The plan of a config on this data; see `plan`.

    Raises:
        DataError: the data does not fit the config.
        ConfigError: the model cannot be built, or the optimizer refuses it.
    """
    recipe = recipe_of(config, data)
    return Plan(stages=plan(recipe, val_losses), environment=environment(recipe))


def plan(recipe: Recipe | UserRecipe, val_losses: Sequence[float] = ()) -> tuple[Stage, ...]:
    """Stages 0 to `config.epochs`, or as far as the results determine them.

    Args:
        recipe: what is trained.
        val_losses: of epochs 1, 2, ..., for a schedule that looks at them: it is known for one
            epoch more than these.

    Raises:
        ConfigError: the model cannot be built, or the optimizer refuses it.
    """
    judged = [recipe.data.val.digest, *([recipe.measured] if recipe.measured else [])]
    key = _hash(_constants(recipe))
    stages = [Stage(epoch=0, rates=Rates(scalars={}), key=key, result_key=_hash([key, *judged]))]
    for epoch, rates in enumerate(recipe.rates(val_losses), start=1):
        key = _hash([key, *rates.facts()])
        stages.append(Stage(epoch=epoch, rates=rates, key=key, result_key=_hash([key, *judged])))
    return tuple(stages)


def extended(
    stages: tuple[Stage, ...], recipe: Recipe | UserRecipe, results: Sequence[EpochResult]
) -> tuple[Stage, ...]:
    """The stages as far as these results determine them; those already known do not change."""
    if len(stages) > recipe.config.epochs:
        return stages
    return plan(recipe, [result.val_loss for result in results])


def environment(recipe: Recipe | UserRecipe) -> dict[str, Any]:
    """All that determines a run's numbers besides the learning rates, as JSON values.

    Beyond what the first key hashes: the validation data, the metrics of the user's, and Python's
    version, on which user code may depend.
    """
    return _constants(recipe) | {
        "val": recipe.data.val.digest,
        **({"metrics": recipe.measured} if recipe.measured else {}),
        "python": sys.version.partition(" ")[0],
    }


def _constants(recipe: Recipe | UserRecipe) -> dict[str, Any]:
    config = recipe.config
    values = {
        item.name: getattr(config, item.name)
        for item in fields(config)
        if item.name not in _KEYED_OTHERWISE and config.applies(item.name)
    }
    defaults = {item.name: item.default for item in fields(config)}
    facts = {"numerics": NUMERICS, "platform": platform(config.device), **recipe.facts()}
    added = {"code": recipe.code, "nondeterministic": not config.deterministic}
    facts |= {name: value for name, value in added.items() if value}
    # a default is omitted, so that a new setting leaves existing keys valid
    return facts | {
        name: value
        for name, value in values.items()
        if name in _KEYED_ALWAYS or value != defaults[name]
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
