"""A linear classifier of scikit-learn, epoch by epoch; no torch takes part in its training.

    python -m sweeps.run --trainable examples.sklearn_sgd:Digits \
        --space examples/sklearn_sgd.toml --objective val_accuracy --direction maximize \
        --epochs 8 --trials 12
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

TRAINED = 1297  # images; the others validate


class Digits:
    """`SGDClassifier` on scikit-learn's digits.

    Args:
        config: the values of a trial, under the names in the space.
        device: not used; scikit-learn trains on the CPU.
    """

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        images, labels = load_digits(return_X_y=True)
        self.train = images[:TRAINED] / 16, labels[:TRAINED]
        self.val = images[TRAINED:] / 16, labels[TRAINED:]
        self.model = SGDClassifier(
            loss=config["loss"],
            alpha=config["alpha"],
            learning_rate="constant",
            eta0=config["eta0"],
        )

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """One pass over the images in an order of its own; NumPy's generator is set before it."""
        images, labels = self.train
        order = np.random.permutation(len(labels))
        self.model.partial_fit(images[order], labels[order], classes=np.arange(10))
        return {
            "train_accuracy": self.model.score(*self.train),
            "val_accuracy": self.model.score(*self.val),
        }

    def state_dict(self) -> dict[str, Any]:
        """All that `partial_fit` continues from."""
        return {
            "coef": self.model.coef_,
            "intercept": self.model.intercept_,
            "classes": self.model.classes_,
            "t": self.model.t_,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        self.model.coef_, self.model.intercept_ = state["coef"], state["intercept"]
        self.model.classes_, self.model.t_ = state["classes"], state["t"]
