"""`Trainable`: a training, one epoch at a time; the built-in one is one, and so is any loop."""

from __future__ import annotations

import hashlib
import inspect
import json
import random
import re
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.references import find, restore_globals
from trainer.training.state import foreign, restored, storable

_METHODS = ("train_epoch", "state_dict", "load_state_dict")
_METRIC = re.compile(r"\w[\w\-. :]{0,200}(/[\w\-. :]+)*")  # names that MLflow takes


class Trainable(Protocol):
    """A training between two epochs."""

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Train one epoch, counted from 1, and return its metrics by name."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch needs, besides config, code and the random generators."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned, bit for bit."""

    def export(self) -> nn.Module:
        """The network to be registered and served."""


class UserTrainable:
    """A class of the user's, constructed, with a check of all that it returns.

    Args:
        config: names the class and has the values of its config.

    Raises:
        ConfigError: by each method, where the class returns what cannot be used.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._name = config.trainable
        make = find_trainable(config.trainable)
        seed_generators(epoch_seed(config.seed, 0))
        with restore_globals():
            self._made = make(deepcopy(dict(config.trainable_args)), torch.device(config.device))

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; its metrics as floats."""
        seed_generators(epoch_seed(self._config.seed, epoch))
        with restore_globals():
            given = self._made.train_epoch(epoch)
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"train_epoch of {self._name} must return metrics by name, but returned {given!r}."
            )
        return {self._checked_name(name): self._number(name, it) for name, it in given.items()}

    def state_dict(self) -> dict[str, Any]:
        """Its state, with arrays as tensors."""
        with restore_globals():
            state = self._made.state_dict()
        state = storable(state)
        wrong = "it" if not isinstance(state, Mapping) else next(foreign(state), "")
        if wrong:
            raise ConfigError(
                f"state_dict of {self._name} must hold tensors, arrays of numbers, numbers, texts, "
                f"and lists and dicts of these, but {wrong} is none."
            )
        return state if isinstance(state, dict) else dict(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state, on the CPU; the class moves it to its device."""
        try:
            with restore_globals():
                self._made.load_state_dict(restored(state))
        except Exception as error:  # user code can raise anything
            raise ConfigError(
                f"load_state_dict of {self._name} must take what state_dict returned, but: "
                f"{type(error).__name__}: {error}"
            ) from error

    def in_force(self, epoch: int) -> dict[str, Any]:
        """The values that act in an epoch, as JSON has them."""
        with restore_globals():
            given = self._made.in_force(epoch)
        try:
            values = json.loads(json.dumps(given))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"in_force of {self._name} must return plain values by name, but: {error}."
            ) from error
        if not isinstance(values, dict):
            raise ConfigError(
                f"in_force of {self._name} must return values by name, but returned {given!r}."
            )
        return values

    def export(self) -> nn.Module:
        """The network that the class exports."""
        if not hasattr(self._made, "export"):
            raise ConfigError(
                f"{self._name} must have a method export() that returns an nn.Module to be "
                "registered, but has none."
            )
        with restore_globals():
            network = self._made.export()
        if not isinstance(network, nn.Module):
            raise ConfigError(
                f"export of {self._name} must return an nn.Module, but returned {network!r}."
            )
        return network

    def _checked_name(self, name: object) -> str:
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise ConfigError(
                f"train_epoch of {self._name} must name metrics by letters, digits, '_', '-', '.', "
                f"':', '/' and spaces, but got {name!r}."
            )
        return name

    def _number(self, name: object, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"train_epoch of {self._name} must return numbers, but {name!r} is {value!r}."
            ) from error


def find_trainable(reference: str) -> Any:
    """Look up a class by reference.

    Raises:
        ConfigError: it is missing, or lacks a method of `Trainable`.
    """
    made = find("trainable", reference)
    if not inspect.isclass(made):
        raise ConfigError(f"trainable {reference} must be a class, but is {made!r}.")
    missing = [name for name in _METHODS if not callable(getattr(made, name, None))]
    if missing:
        raise ConfigError(
            f"trainable {reference} must have the methods {', '.join(_METHODS)}, but lacks "
            f"{', '.join(missing)}."
        )
    return made


def has_in_force(reference: str) -> bool:
    """Whether the class says which values act in each epoch."""
    return hasattr(find_trainable(reference), "in_force")


@lru_cache(maxsize=256)
def values_in_force(config_json: str, code: str) -> tuple[dict[str, Any], ...]:
    """The values that act in each epoch of a config.

    Args:
        config_json: the config.
        code: digest of the class's code.

    Raises:
        ConfigError: the class returns what is not plain values.
    """
    config = TrainConfig.from_json(config_json)
    made = UserTrainable(config)
    return tuple(made.in_force(epoch) for epoch in range(1, config.epochs + 1))


def seed_generators(seed: int) -> None:
    """Set the generators of Python, NumPy and torch, on the CPU and on GPUs."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of every random number of an epoch: 63 bits of SHA-256 of "seed epoch"."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:8], "big") >> 1
