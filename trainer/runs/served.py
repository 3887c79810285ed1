"""A trained network as others use it: evaluated, with its normalization inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.settings.config import TrainConfig
from trainer.stages.stage import prepared_data
from trainer.training.device import set_determinism
from trainer.training.loop import Training
from trainer.training.recipe import Recipe

_EXAMPLES = 2


class Served:
    """The network of a config on the CPU, with weights of one of its epochs.

    Args:
        config: of the run that trained it.
        weights: a state dict of its model.
        folder: of the data sets; that of the config is prepared if it is missing.

    Raises:
        DataError: the data set cannot be had.
    """

    def __init__(self, config: TrainConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
        config = replace(config, device="cpu")
        set_determinism(config.device, config.threads, deterministic=config.deterministic)
        self._data = prepared_data(config, folder)
        self._training = Training(Recipe(config, self._data))
        self._training.load_weights(weights)

    def validation(self) -> tuple[float, float]:
        """Mean loss and accuracy over the validation data."""
        return self._training.validate()

    def test(self) -> tuple[float, float] | None:
        """Mean loss and accuracy over the test images; None if the run was trained on them."""
        if self._data.test is None:
            return None
        return self._training.measure(self._data.test)

    def network(self) -> nn.Module:
        """A module that takes images N x C x H x W (float32, 0 to 1), or other inputs as stored."""
        return self._training.export().eval()

    def examples(self) -> NDArray[np.float32]:
        """A few validation inputs in the form that the network takes."""
        inputs = np.asarray(self._data.val.images[:_EXAMPLES])
        values = inputs.astype(np.float32)
        if inputs.dtype == np.uint8:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2)) / np.float32(255)
        return values
