"""A network of your own, whose width is searched together with the rate.

    python -m sweeps.run --dataset digits --epochs 5 --trials 20 --space examples/own_model.toml

The space names the network, and may name several.
"""

from __future__ import annotations

from torch import nn


def net(num_classes: int, in_channels: int, width: int = 16) -> nn.Module:
    """Two convolutions, and the mean of each feature.

    Weights are drawn here, after the trial's seed was set; dropout and the like draw seeded, too.

    Args:
        num_classes: of the data.
        in_channels: colours of its images.
        width: features of the first convolution; the second one has twice as many.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )
