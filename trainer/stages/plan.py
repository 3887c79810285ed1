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
from functools import lru_cache
from typing import Any, Protocol

import torch

from trainer.data import Data
from trainer.metrics import EpochResult
from trainer.settings.config import MODELS, TrainConfig
from trainer.training.device import platform
from trainer.training.model import NetworkSpec
from trainer.training.optim import OptimizerSpec
from trainer.training.recipe import Recipe
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
    | {"deterministic", "model_args", "optimizer_args"}  # by `_constants`
)
"""Fields of a config that are not hashed by themselves; every other one is, new ones too."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One epoch of a config, or its initial state (epoch 0).

    Attributes:
        epoch: counted from 1; 0 is the initial state.
        rates: learning rates of the epoch; empty for stage 0.
        key: under which the state after the epoch is stored.
        result_key: under which its result is stored, which depends on the validation data too.
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
    recipe = Recipe(config, data)
    return Plan(stages=plan(recipe, val_losses), environment=environment(recipe))


def plan(recipe: Recipe, val_losses: Sequence[float] = ()) -> tuple[Stage, ...]:
    """Stages 0 to `config.epochs`, or as far as the results determine them.

    Args:
        recipe: what is trained.
        val_losses: of epochs 1, 2, ..., for a schedule that looks at them: it is known for one
            epoch more than these.

    Raises:
        ConfigError: the model cannot be built, or the optimizer refuses it.
    """
    val = recipe.data.val.digest
    key = _hash(_constants(recipe))
    stages = [Stage(epoch=0, rates=Rates(scalars={}), key=key, result_key=_hash([key, val]))]
    for epoch, rates in enumerate(recipe.rates(val_losses), start=1):
        key = _hash([key, *rates.facts()])
        stages.append(Stage(epoch=epoch, rates=rates, key=key, result_key=_hash([key, val])))
    return tuple(stages)


def extended(
    stages: tuple[Stage, ...], recipe: Recipe, results: Sequence[EpochResult]
) -> tuple[Stage, ...]:
    """The stages as far as these results determine them; those already known do not change."""
    if len(stages) > recipe.config.epochs:
        return stages
    return plan(recipe, [result.val_loss for result in results])


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state: every tensor (dtype, shape, bits) and value, in order of names."""
    total = hashlib.sha256()
    _feed(total, state)
    return total.hexdigest()


def environment(recipe: Recipe) -> dict[str, Any]:
    """All that determines a run's numbers besides the learning rates, as JSON values.

    Beyond what the first key hashes: the validation data, and Python's version, on which user code
    may depend.
    """
    return _constants(recipe) | {
        "val": recipe.data.val.digest,
        "python": sys.version.partition(" ")[0],
    }


def _constants(recipe: Recipe) -> dict[str, Any]:
    config = recipe.config
    values = {
        item.name: getattr(config, item.name)
        for item in fields(config)
        if item.name not in _KEYED_OTHERWISE
    }
    defaults = {item.name: item.default for item in fields(config)}
    facts = {
        "numerics": NUMERICS,
        "train": recipe.data.train.digest,
        "initial": _initial_digest(recipe.network, recipe.optimizer),
        "optimizer_args": recipe.optimizer.args,
        "dtype": "float32",
        "memory_format": "channels_last" if recipe.is_channels_last else "contiguous",
        "platform": platform(config.device),
    }
    added = {
        "model_args": dict(config.model_args),
        "code": recipe.code,
        "nondeterministic": not config.deterministic,
    }
    facts |= {name: value for name, value in added.items() if value}
    # a default is omitted, so that a new setting leaves existing keys valid
    return facts | {
        name: value
        for name, value in values.items()
        if name in _KEYED_ALWAYS or value != defaults[name]
    }


@lru_cache(maxsize=64)
def _initial_digest(network: NetworkSpec, optimizer: OptimizerSpec) -> str:
    """Digest of the initial weights, after the optimizer was tried on a user's network."""
    model = network.build()
    if network.name not in MODELS:
        optimizer.check_fits(model.parameters())
    return digest(model.state_dict())


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _feed(total: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name in sorted(value, key=str):
            total.update(f"{name}:".encode())
            _feed(total, value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(total, item)
    elif isinstance(value, torch.Tensor):
        total.update(f"{value.dtype}{tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    else:
        total.update(f"{value!r};".encode())
