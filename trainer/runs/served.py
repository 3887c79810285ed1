"""A trained network as others use it: evaluated, with its normalization inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.stages.stage import prepared_data
from trainer.training.device import set_determinism
from trainer.training.loop import Training
from trainer.training.recipe import Recipe
from trainer.training.trainable import UserTrainable

_EXAMPLES = 2


class Served:
    """The network of a config on the CPU, with weights of one of its epochs.

    Args:
        config: of the run that trained it.
        weights: a state dict of its model; of a loop of the user's, its whole state.
        folder: of the data sets; that of the config is prepared if it is missing.

    Raises:
        DataError: the data set cannot be had.
        ConfigError: a loop of the user's exports no network.
    """

    def __init__(self, config: TrainConfig, weights: Mapping[str, Any], folder: Path) -> None:
        config = replace(config, device="cpu")
        set_determinism(config.device, config.threads, deterministic=config.deterministic)
        self._data = prepared_data(config, folder)
        self._training: Training | None = None
        if config.trainable:
            own = UserTrainable(config)
            own.load_state_dict(dict(weights))
            self._network = own.export()
        else:
            self._training = Training(Recipe(config, self._data))
            self._training.load_weights(weights)
            self._network = self._training.export()
        self._name = config.trainable

    def validation(self) -> tuple[float, float] | None:
        """Mean loss and accuracy over the validation data; None if a loop reads its own data."""
        return None if self._training is None else self._training.validate()

    def test(self) -> tuple[float, float] | None:
        """Mean loss and accuracy over the test images; None if the run was trained on them."""
        if self._training is None or self._data.test is None:
            return None
        return self._training.measure(self._data.test)

    def network(self) -> nn.Module:
        """A module that takes images N x C x H x W (float32, 0 to 1), or other inputs as stored."""
        return self._network.eval()

    def examples(self) -> NDArray[Any]:
        """A few validation inputs in the form that the network takes.

        Raises:
            ConfigError: the network of a loop of the user's has none.
        """
        if self._training is None:
            return self._own_examples()
        inputs = np.asarray(self._data.val.images[:_EXAMPLES])
        if inputs.dtype != np.uint8:
            return inputs.copy()
        values = inputs.astype(np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) / np.float32(255)

    def _own_examples(self) -> NDArray[Any]:
        """The `example_input_array` of the network, as Lightning calls it."""
        found = getattr(self._network, "example_input_array", None)
        if not isinstance(found, Tensor):
            raise ConfigError(
                f"The network that export() of {self._name} returns must have a tensor of example "
                f"inputs as its attribute example_input_array, but that is {found!r}."
            )
        return np.asarray(found.detach().cpu().numpy())
