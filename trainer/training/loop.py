"""`Training`: model, optimizer and data on their device, between two epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.data import Part
from trainer.metrics import (
    EPOCH_SECONDS,
    FIRST_BATCH_LOSS,
    IMAGES_PER_SECOND,
    LR,
    RUNNING_LOSS,
    TRAIN_LOSS,
    VAL_ACCURACY,
    VAL_LOSS,
)
from trainer.training.device import synchronize
from trainer.training.epoch import VALIDATION_BATCH, Batch, Resident, train_epoch, validate
from trainer.training.optim import load_optimizer, parameters_of, set_rates
from trainer.training.own_metrics import Measurement
from trainer.training.recipe import Recipe, UserRecipe
from trainer.training.schedule import Rates
from trainer.training.trainable import Trainable, UserTrainable, epoch_seed, seed_generators
from trainer.training.transforms import Normalized, Transform, statistics


def build(
    recipe: Recipe | UserRecipe, rates: Sequence[Rates] = (), most: int | None = None
) -> Trainable:
    """The training of a recipe before its first epoch.

    Args:
        recipe: what is trained.
        rates: of epochs 1, 2, ..., as far as they are to be trained.
        most: train and validate so many batches an epoch, in the built-in training.
    """
    if isinstance(recipe, UserRecipe):
        return UserTrainable(recipe.config)
    return Training(recipe, rates, most)


class Training:
    """The built-in `Trainable`: model and optimizer between two epochs.

    Args:
        recipe: what is trained.
        rates: of epochs 1, 2, ..., as far as they are to be trained.
        most: train and validate so many batches an epoch; metrics of the user's are measured on
            all validation data nevertheless, as they may need every class.
    """

    def __init__(
        self, recipe: Recipe, rates: Sequence[Rates] = (), most: int | None = None
    ) -> None:
        self._rates = rates
        self._most = most
        self._config = config = recipe.config
        self._data = data = recipe.data
        self._loss, self._val_loss = recipe.loss, recipe.val_loss
        self._metrics = recipe.metrics
        self._model = recipe.network.build().to(config.device)
        if recipe.is_channels_last:
            self._model.to(memory_format=torch.channels_last)
        self._optimizer = recipe.optimizer.build(
            parameters_of(self._model, config.lr), config.lr, config.device
        )
        self._average = _average(self._model, config.ema_decay)
        images = cast("NDArray[np.uint8]", data.train.images)  # a recipe refuses others
        mean, std = statistics(images) if config.normalize else (None, None)
        self._transform = Transform(
            augment=tuple(config.augment.split(",")),
            mean=None if mean is None else mean.to(config.device),
            std=None if std is None else std.to(config.device),
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train and validate one epoch."""
        rates = self._rates[epoch - 1]
        synchronize(self._config.device)
        began = time.perf_counter()
        running, mean, first = self.train(epoch, rates, self._most)
        synchronize(self._config.device)
        seconds = time.perf_counter() - began
        own = Measurement(self._metrics)
        if self._metrics:
            val_loss, val_accuracy = self.measure(self._data.val, each=own.add)
        else:
            val_loss, val_accuracy = self.validate(self._most)
        return {
            RUNNING_LOSS: running,
            TRAIN_LOSS: mean,
            VAL_LOSS: val_loss,
            VAL_ACCURACY: val_accuracy,
            LR: float(rates.scalars["lr"]),
            EPOCH_SECONDS: seconds,
            IMAGES_PER_SECOND: len(self._data.train.labels) / seconds,
            FIRST_BATCH_LOSS: first,
            **own.values(is_valid=math.isfinite(mean) and math.isfinite(val_loss)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned, bit for bit."""
        self._evaluated.load_state_dict(state["model"])
        if self._average is not None:
            self._average.n_averaged.copy_(state["n_averaged"])
            self._model.load_state_dict(state["trained"])
        load_optimizer(self._optimizer, state["optimizer"])

    def state_dict(self) -> dict[str, Any]:
        """State dicts of model and optimizer: all that the next epoch needs.

        Where weights are averaged, `model` has the average, and `trained` the weights themselves.
        """
        state = {"model": self._evaluated.state_dict(), "optimizer": self._optimizer.state_dict()}
        if self._average is None:
            return state
        averaged = {"n_averaged": self._average.n_averaged, "trained": self._model.state_dict()}
        return state | averaged

    def train(
        self, epoch: int, rates: Rates, most: int | None = None
    ) -> tuple[float, float, float]:
        """Train one epoch; returns what `train_epoch` returns.

        Every random number comes from the config's seed and the epoch.

        Args:
            epoch: counted from 1.
            rates: learning rates and other scheduled values of the epoch.
            most: stop after this many batches.
        """
        set_rates(self._optimizer, rates.begin())
        seed = epoch_seed(self._config.seed, epoch)
        seed_generators(seed)
        batches: Iterable[Batch] = islice(self._batches(seed), most)
        return train_epoch(
            self._model,
            self._optimizer,
            batches,
            self._loss,
            rates.each_batch(),
            self._config.clip_grad_norm,
            self._config.accumulate,
            self._update_average,
        )

    def validate(self, most: int | None = None) -> tuple[float, float]:
        """Mean loss and accuracy over the validation data, or its first `most` batches."""
        return self.measure(self._data.val, most)

    def measure(
        self,
        part: Part,
        most: int | None = None,
        each: Callable[[Tensor, Tensor], object] = lambda outputs, targets: None,
    ) -> tuple[float, float]:
        """Mean loss and accuracy over any part of a data set; for `each` see `validate`."""
        batches = _resident(part, self._config.device).batches(
            None, VALIDATION_BATCH, self._transform.plain
        )
        evaluated, chosen = self._evaluated, islice(batches, most)
        return validate(evaluated, self._optimizer, chosen, self._val_loss, each)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights of the model without a state of the optimizer."""
        self._evaluated.load_state_dict(weights)

    def export(self) -> nn.Module:
        """The model with normalization inside, so that it takes inputs as the data set has them."""
        mean, std = self._transform.mean, self._transform.std
        network = self._evaluated
        return network if mean is None or std is None else Normalized(network, mean, std)

    @property
    def _evaluated(self) -> nn.Module:
        """The network that is validated and kept: the average, where there is one."""
        return self._model if self._average is None else self._average.module

    def _update_average(self) -> None:
        if self._average is not None:
            self._average.update_parameters(self._model)

    def _batches(self, seed: int) -> Iterator[Batch]:
        train = _resident(self._data.train, self._config.device)
        generator = torch.Generator().manual_seed(seed)
        order = None
        if self._config.shuffle:
            order = torch.randperm(len(train.labels), generator=generator).to(self._config.device)
        return train.batches(
            order,
            self._config.batch_size,
            lambda images: self._transform.train(images, generator),
        )


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Torch's exponential moving average of weights and buffers, if there is to be one."""
    if decay is None:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


_on_device: dict[tuple[str, str], Resident] = {}


def _resident(part: Part, device: str) -> Resident:
    """The part as tensors on the device; the last two parts stay there between epochs."""
    name = (part.digest, device)
    if name not in _on_device:
        while len(_on_device) >= 2:
            _on_device.pop(next(iter(_on_device)))
        images = torch.from_numpy(part.images).to(device)
        labels = torch.from_numpy(part.labels).to(device)
        _on_device[name] = Resident(images=images, labels=labels)
    return _on_device[name]
