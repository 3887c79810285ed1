"""A regression: numbers in, numbers out, and another loss than cross entropy.

    python -m sweeps.run --dataset examples.regression:arrays --split train \
        --model examples.regression:net --loss torch.nn.functional:mse_loss --epochs 5 --trials 20
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn


def arrays() -> dict[str, NDArray[np.float32]]:
    """Inputs are float32, N x 8, and go to the network as they are; targets float32, N x 1."""
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(2000, 8)).astype(np.float32)
    targets = np.sin(inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:3]
    return {
        "train_images": inputs[:1600],
        "train_labels": targets[:1600],
        "test_images": inputs[1600:],
        "test_labels": targets[1600:],
    }


def net(num_outputs: int, in_features: int) -> nn.Module:
    """Given the width of the targets, and that of the inputs."""
    return nn.Sequential(
        nn.Linear(in_features, 64),
        nn.Tanh(),
        nn.Linear(64, 64),
        nn.Tanh(),
        nn.Linear(64, num_outputs),
    )
