"""Stages and their keys: every epoch of a config under the hash of all that determines it.

The key of stage 0 hashes every constant of the run; the key of stage k hashes the key of stage k-1
and the scalars of the optimizer's parameter group in force in epoch k. `step_size` and `gamma` are
not in it, the rates they lead to are: configs whose rates agree so far share their stages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from trainer.config import TrainConfig
from trainer.data import Data
from trainer.device import platform
from trainer.errors import DataError
from trainer.model import SIDE, build_model
from trainer.optim import rates

NUMERICS = 1
"""Version of the loop's arithmetic: raise it with any change that gives other bits."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Epoch `epoch` of some config (0: its initial state).

    Attributes:
        epoch: counted from 1; 0 is the initial state.
        rates: scalars of the parameter group in force, by name; empty for stage 0.
        key: of the state after the epoch.
        result_key: of the epoch's result, which depends on the validation data too.
    """

    epoch: int
    rates: Mapping[str, Any]
    key: str
    result_key: str


def plan(config: TrainConfig, data: Data) -> tuple[Stage, ...]:
    """Stages 0 to `config.epochs`; `config.device` must be resolved, not "auto".

    Raises:
        DataError: the images are not of the size that the network takes.
    """
    height, width = data.train.images.shape[1:3]
    if (height, width) != (SIDE, SIDE):
        raise DataError(
            f"Images must be {SIDE} x {SIDE}, but those of {data.name} are {height} x {width}."
        )
    key = _hash(_constants(config, data))
    stages = [Stage(epoch=0, rates={}, key=key, result_key=_hash([key, data.val.digest]))]
    in_force = rates(
        config.optimizer,
        config.optimizer_args,
        float(config.lr),  # 1 and 1.0 are one rate
        config.step_size,
        config.gamma,
        config.epochs,
        config.device,
    )
    for epoch, scalars in enumerate(in_force, start=1):
        key = _hash([key, scalars])
        result_key = _hash([key, data.val.digest])
        stages.append(Stage(epoch=epoch, rates=scalars, key=key, result_key=result_key))
    return tuple(stages)


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 over every tensor (type, shape, bits) and number of a state, in order of names."""
    total = hashlib.sha256()
    _feed(total, state)
    return total.hexdigest()


def _constants(config: TrainConfig, data: Data) -> dict[str, Any]:
    channels = data.train.images.shape[3]
    return {
        "numerics": NUMERICS,
        "train": data.train.digest,
        "shuffle": config.shuffle,
        "model": config.model,
        "initial": _initial_digest(config.seed, data.classes, channels),
        "optimizer": config.optimizer,
        "optimizer_args": dict(config.optimizer_args),
        "loss": "cross_entropy",
        "batch_size": config.batch_size,
        "seed": config.seed,
        "threads": config.threads,
        "dtype": "float32",
        "memory_format": "channels_last",
        "device": config.device,
        "platform": platform(config.device),
    }


@lru_cache
def _initial_digest(seed: int, classes: int, channels: int) -> str:
    return digest(build_model(seed, classes, channels).state_dict())


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
