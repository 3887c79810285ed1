"""The problems whose every configuration is trained once, to replay searches on: see `table.py`.

cifar10   the tutorial's network on 640 images of CIFAR-10: it overfits, diverges and starts
          slowly as on the whole data set, in a seventh of a minute a configuration
digits    a convolutional network with batch normalisation on noisy 8 x 8 digits, of which it
          learns all there is: so that nothing is tuned to the first problem alone
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from trainer.settings.config import TrainConfig

EPOCHS = 20
STEP_SIZES = tuple(range(2, EPOCHS + 1, 2))
GAMMAS = (0.1, 0.3, 0.5, 0.7, 0.9)
PROBES = (1, 2, 4, 8)
"""Epochs after which one more at a tenth of the rate is trained beside the run: a cool-down probe
(Haegele et al. 2024, https://arxiv.org/abs/2405.18392)."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is trained.

    Attributes:
        base: what all configurations have in common.
        rates: learning rates by optimizer; the last ones of some diverge.
    """

    base: TrainConfig
    rates: Mapping[str, tuple[float, ...]]

    @property
    def families(self) -> list[tuple[str, float]]:
        """Each pair of an optimizer and a rate: what differs within it is the schedule alone."""
        return [(optimizer, lr) for optimizer, rates in self.rates.items() for lr in rates]


_DECADES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)

RATES: dict[str, tuple[float, ...]] = {
    "SGD": (2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1),
    "Adam": _DECADES,
    "AdamW": _DECADES,
    "RMSprop": (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3),
    "Adagrad": (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1),
}


def digits() -> dict[str, np.ndarray]:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels under noise: 1,485 to train on, 297 to validate.

    Without the noise nearly all configurations end within the validation's own error.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    noise = np.random.default_rng(0).normal(0, 90, data.images.shape)
    grey = np.clip(data.images * 15 + noise, 0, 255).astype(np.uint8)[..., None]
    labels = data.target.astype(np.uint8)
    return {
        "train_images": grey[1485:],
        "train_labels": labels[1485:],
        "test_images": grey[:1485],
        "test_labels": labels[:1485],
    }


def normalised_net(num_classes: int, in_channels: int) -> nn.Module:
    """Two convolutions with batch normalisation, then a linear layer; for 8 x 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )


PROBLEMS = {
    "cifar10": Problem(
        base=TrainConfig(dataset="cifar10", limit=640, batch_size=32, epochs=EPOCHS, device="cpu"),
        rates=RATES,
    ),
    "digits": Problem(
        base=TrainConfig(
            dataset="problems:digits",
            model="problems:normalised_net",
            batch_size=64,
            epochs=EPOCHS,
            device="cpu",
        ),
        rates=RATES,
    ),
}
