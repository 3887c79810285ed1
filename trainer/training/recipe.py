"""`Recipe`: a config and its data, with the parts that the config names looked up once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from trainer.data import Data
from trainer.errors import DataError
from trainer.settings.config import MODELS, TrainConfig
from trainer.settings.references import code_digest, is_reference
from trainer.training.loss import find_losses
from trainer.training.model import SIDE, NetworkSpec
from trainer.training.optim import (
    OptimizerSpec,
    find_optimizer,
    has_groups,
    parameters_of,
    plain_scalars,
)
from trainer.training.own_metrics import find_metrics
from trainer.training.schedule import Rates, Schedule
from trainer.training.state import digest
from trainer.training.trainable import find_trainable, has_in_force, values_in_force


def recipe_of(config: TrainConfig, data: Data) -> Recipe | UserRecipe:
    """The recipe of a config: of the built-in training, or of the user's.

    Raises:
        DataError: the inputs are not of the kind or size that the config needs.
        ConfigError: what the config names does not exist.
    """
    return UserRecipe(config, data) if config.trainable else Recipe(config, data)


class UserRecipe:
    """What both the keys of epochs and their training are made from, for a class of the user's.

    Attributes:
        config: with its device resolved.
        data: none; the class reads its own.
        code: digest of the user code behind each reference of the config.
        measured: none; the class returns its metrics.

    Raises:
        ConfigError: the class does not exist, or lacks a method.
    """

    measured: Mapping[str, Any] = {}

    def __init__(self, config: TrainConfig, data: Data) -> None:
        self.config = config
        self.data = data
        find_trainable(config.trainable)
        self.code = {reference: code_digest(reference) for reference in config.references}

    def facts(self) -> dict[str, Any]:
        """All that determines the numbers of every epoch, besides the fields of the config."""
        if has_in_force(self.config.trainable):
            return {}
        return {"trainable_args": dict(self.config.trainable_args)}

    def rates(self, val_losses: Sequence[float] = ()) -> tuple[Rates, ...]:
        """The values in force in epochs 1, 2, ..., where the class says them."""
        if not has_in_force(self.config.trainable):
            return (Rates(scalars={}),) * self.config.epochs
        values = values_in_force(self.config.to_json(), json.dumps(self.code))
        return tuple(Rates(scalars=each) for each in values)


class Recipe:
    """What both the keys of epochs and their training are made from.

    Attributes:
        config: with its device resolved.
        data: the training and validation data.
        code: digest of the user code behind each reference of the config.
        network: the model and its initial weights.
        loss: mean over a batch, in training.
        val_loss: the same in validation.
        metrics: those of the user's, by name.
        measured: all that determines these, besides outputs and targets.
        optimizer: class and arguments.
        is_channels_last: whether weights lie channels last, as images do: faster, where the
            optimizer can do it.

    Raises:
        DataError: the inputs are not of the kind or size that the config needs.
        ConfigError: the model, loss, metric, optimizer or scheduler does not exist.
    """

    def __init__(self, config: TrainConfig, data: Data) -> None:
        check_inputs(config, data)
        self.config = config
        self.data = data
        self.code = {reference: code_digest(reference) for reference in config.references}
        self.network = NetworkSpec(
            name=config.model,
            frozen_args=json.dumps(dict(config.model_args), sort_keys=True),
            seed=config.seed,
            classes=data.classes,
            channels=data.channels,
            code=json.dumps(self.code),
        )
        self.loss, self.val_loss = find_losses(config.loss, config.loss_args)
        self.metrics = find_metrics(config)
        self.measured = {
            name: [
                reference,
                code_digest(reference, "metric"),
                {it: arg for it, arg in config.metric_args.items() if it.startswith(f"{name}.")},
            ]
            for name, reference in config.metrics.items()
        }
        self.optimizer = find_optimizer(config.optimizer, config.optimizer_args)
        self.is_channels_last = data.are_images and self.optimizer.takes_channels_last
        self._schedule = Schedule(config, self.optimizer)

    def facts(self) -> dict[str, Any]:
        """All that determines the numbers of every epoch, besides the fields of the config."""
        args = {
            "model_args": dict(self.config.model_args),
            "loss_args": dict(self.config.loss_args),
        }
        return {
            "train": self.data.train.digest,
            "initial": _initial_digest(self.network, self.optimizer),
            "optimizer_args": self.optimizer.args,
            "dtype": "float32",
            "memory_format": "channels_last" if self.is_channels_last else "contiguous",
            **{name: values for name, values in args.items() if values},
        }

    def rates(self, val_losses: Sequence[float] = ()) -> tuple[Rates, ...]:
        """The learning rates of epochs 1, 2, ..., as far as these results determine them.

        Raises:
            ConfigError: torch refuses the values, or the model cannot be built.
        """
        steps = -(-len(self.data.train.labels) // self.config.batch_size)
        steps = -(-steps // self.config.accumulate)
        groups: tuple[Mapping[str, Any], ...] = ()
        if is_reference(self.config.optimizer) or _has_groups(self.network):
            groups = _groups(self.network, self.optimizer, float(self.config.lr))
        return self._schedule.rates(steps, val_losses, groups=groups)


def check_inputs(config: TrainConfig, data: Data) -> None:
    """Check that the inputs are those that the config needs.

    Raises:
        DataError: they are of another kind or size.
    """
    if config.trainable:  # which reads its own
        return
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


@lru_cache(maxsize=64)
def _groups(
    network: NetworkSpec, optimizer: OptimizerSpec, lr: float
) -> tuple[Mapping[str, Any], ...]:
    """The scalars of each parameter group, where the model or the optimizer makes them."""
    model = network.build()
    groups = optimizer.build(parameters_of(model, lr), lr, "cpu").param_groups
    return tuple(map(plain_scalars, groups)) if len(groups) > 1 or has_groups(model) else ()


@lru_cache(maxsize=64)
def _has_groups(network: NetworkSpec) -> bool:
    """Whether the model makes its own parameter groups."""
    return is_reference(network.name) and has_groups(network.build())


@lru_cache(maxsize=64)
def _initial_digest(network: NetworkSpec, optimizer: OptimizerSpec) -> str:
    """Digest of the initial weights, after the optimizer was tried on a user's network."""
    model = network.build()
    if network.name not in MODELS:
        optimizer.check_fits(model.parameters())
        if has_groups(model):
            optimizer.check_groups(model)
    return digest(model.state_dict())
