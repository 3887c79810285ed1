"""Stages and their keys: every epoch of a config under the hash of all that determines it.

The key of stage 0 hashes every constant of the run; the key of stage k hashes the key of stage k-1
and the scalars of the optimizer's parameter group in force in epoch k. `step_size` and `gamma` are
not in it, the rates they lead to are: configs whose rates agree so far share their stages.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from trainer.data import Data
from trainer.errors import DataError
from trainer.metrics import EpochResult
from trainer.settings.config import MODELS, TrainConfig
from trainer.settings.references import code_digest, is_reference
from trainer.training.device import platform
from trainer.training.loop import is_channels_last
from trainer.training.model import SIDE, build_model
from trainer.training.optim import build_optimizer, check_fits, plain_scalars, without_defaults
from trainer.training.schedule import Rates, replay

NUMERICS = 1
"""Version of the loop's arithmetic: raise it with any change that gives other bits."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Epoch `epoch` of some config (0: its initial state).

    Attributes:
        epoch: counted from 1; 0 is the initial state.
        rates: in force in the epoch; none for stage 0.
        key: of the state after the epoch.
        result_key: of the epoch's result, which depends on the validation data too.
    """

    epoch: int
    rates: Rates
    key: str
    result_key: str


def plan(config: TrainConfig, data: Data, val_losses: Sequence[float] = ()) -> tuple[Stage, ...]:
    """Stages 0 to `config.epochs`, or as far as the results let them be known.

    Args:
        config: with its device resolved.
        data: that it trains on.
        val_losses: of epochs 1, 2, ..., for a schedule that looks at them: it is known for one
            epoch more than these.

    Raises:
        DataError: the images are not of the size that the network takes.
        ConfigError: the model cannot be made, or the optimizer refuses it.
    """
    size = data.train.images.shape[1:3]
    if config.model == "tutorial" and (not data.are_images or size != (SIDE, SIDE)):
        raise DataError(
            f"The tutorial's network takes images of {SIDE} x {SIDE}, but those of {data.name} are "
            f"{' x '.join(map(str, data.train.images.shape[1:]))}; bring images to that size with "
            f"--image-size {SIDE}, or give another --model."
        )
    if not data.are_images and (config.normalize or config.augment):
        raise DataError(
            "normalize and augment are for images of bytes (uint8), but the inputs of "
            f"{data.name} are {data.train.images.dtype}."
        )
    batches = -(-len(data.train.labels) // config.batch_size)
    groups = _groups_of(config, data)
    key = _hash(_constants(config, data))
    result_key = _hash([key, data.val.digest])
    stages = [Stage(epoch=0, rates=Rates(scalars={}), key=key, result_key=result_key)]
    for epoch, rates in enumerate(replay(config, batches, val_losses, groups=groups), start=1):
        key = _hash([key, *rates.facts()])
        result_key = _hash([key, data.val.digest])
        stages.append(Stage(epoch=epoch, rates=rates, key=key, result_key=result_key))
    return tuple(stages)


def extended(
    stages: tuple[Stage, ...], config: TrainConfig, data: Data, results: Sequence[EpochResult]
) -> tuple[Stage, ...]:
    """The stages as far as these results let them be known; all of them stay as they are."""
    if len(stages) > config.epochs:
        return stages
    return plan(config, data, [result.val_loss for result in results])


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 over every tensor (type, shape, bits) and number of a state, in order of names."""
    total = hashlib.sha256()
    _feed(total, state)
    return total.hexdigest()


def environment(config: TrainConfig, data: Data) -> dict[str, Any]:
    """All that determines a run's numbers beside the rates, as JSON values: its first key's facts.

    And the validation data, and Python, by which code that users bring may behave differently.
    """
    return _constants(config, data) | {
        "val": data.val.digest,
        "python": sys.version.partition(" ")[0],
    }


def _constants(config: TrainConfig, data: Data) -> dict[str, Any]:
    code = {reference: code_digest(reference) for reference in config.references}
    model = _Model.of(config, data)
    if config.model not in MODELS:
        _check_fits(model, config.optimizer, json.dumps(dict(config.optimizer_args)))
    facts = {
        "numerics": NUMERICS,
        "train": data.train.digest,
        "shuffle": config.shuffle,
        "model": config.model,
        "initial": _initial_digest(model),
        "optimizer": config.optimizer,
        "optimizer_args": without_defaults(config.optimizer, config.optimizer_args),
        "loss": config.loss,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "threads": config.threads,
        "dtype": "float32",
        "memory_format": "channels_last" if is_channels_last(config, data) else "contiguous",
        "device": config.device,
        "platform": platform(config.device),
    }
    # these stand in the key only where they say something: what was stored before them stays found
    added = {
        "model_args": dict(config.model_args),
        "code": code,
        "normalize": config.normalize,
        "augment": config.augment,
        "nondeterministic": not config.deterministic,
        "unshared": config.unshared,
    }
    return facts | {name: value for name, value in added.items() if value}


def _groups_of(config: TrainConfig, data: Data) -> tuple[Mapping[str, Any], ...]:
    """The scalars of each parameter group that a user's optimizer makes, where it makes several."""
    if not is_reference(config.optimizer):
        return ()
    args = json.dumps(dict(config.optimizer_args))
    return _groups(_Model.of(config, data), config.optimizer, args, float(config.lr))


@lru_cache(maxsize=64)
def _groups(
    model: _Model, optimizer: str, optimizer_args: str, lr: float
) -> tuple[Mapping[str, Any], ...]:
    weights = model.build().parameters()
    groups = build_optimizer(optimizer, weights, lr, json.loads(optimizer_args), "cpu").param_groups
    return tuple(map(plain_scalars, groups)) if len(groups) > 1 else ()


@dataclass(frozen=True)
class _Model:
    """What determines initial weights; of code that users bring, the state it is in."""

    name: str
    args: str
    seed: int
    classes: int
    channels: int
    code: str

    @classmethod
    def of(cls, config: TrainConfig, data: Data) -> _Model:
        """That of a config, with its data."""
        return cls(
            config.model,
            json.dumps(dict(config.model_args), sort_keys=True),
            config.seed,
            data.classes,
            data.channels,
            code=json.dumps([code_digest(reference) for reference in config.references]),
        )

    def build(self) -> nn.Module:
        """It, with its initial weights."""
        args = json.loads(self.args)
        return build_model(self.name, args, self.seed, self.classes, self.channels)


@lru_cache(maxsize=64)
def _initial_digest(model: _Model) -> str:
    return digest(model.build().state_dict())


@lru_cache(maxsize=64)
def _check_fits(model: _Model, optimizer: str, optimizer_args: str) -> None:
    check_fits(optimizer, json.loads(optimizer_args), model.build().parameters())


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
