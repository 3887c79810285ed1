"""The networks, made from a seed on the CPU so that every device starts from the same bits."""

from __future__ import annotations

import torch
from torch import nn

SIDE = 32
"""Height and width, in pixels, of the images the tutorial's network takes."""


class TutorialNet(nn.Module):
    """The tutorial's network: three 5x5 convolutions, each with max pooling, and two linear layers.

    Takes N x `channels` x 32 x 32 (float32, 0 to 1) and gives N x `classes` scores. There is no
    activation between the layers: that is how the tutorial has it.
    """

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.model1 = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1024, 64),
            nn.Linear(64, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of each class, N x `classes`."""
        scores: torch.Tensor = self.model1(images)
        return scores


def build_model(seed: int, classes: int, channels: int) -> nn.Module:
    """The network with the initial weights that torch draws after `torch.manual_seed(seed)`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TutorialNet(classes, channels)
