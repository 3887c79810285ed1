"""What is done to images on their way into the network, as seeded operations on whole batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

CROP_SHARE = 8
"""A crop moves the image by up to one part in so many of its side (4 pixels of 32)."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """Augmentation, then normalisation, of images N x C x H x W (float32, 0 to 1).

    Attributes:
        augment: "crop" (each image moved by up to an eighth of its side each way, what comes in is
            0), "flip" (every other image, by chance, mirrored left to right), both, or neither.
        mean: of each colour, 1 x C x 1 x 1; None: not normalised.
        std: deviation of each colour, likewise.
    """

    augment: tuple[str, ...] = ()
    mean: Tensor | None = None
    std: Tensor | None = None

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """For training: what is drawn comes from `generator`, which is on the CPU."""
        if "crop" in self.augment:
            images = _crop(images, generator)
        if "flip" in self.augment:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            chosen = mirrored.to(images.device)[:, None, None, None]
            images = torch.where(chosen, images.flip(3), images)
        return self.plain(images)

    def plain(self, images: Tensor) -> Tensor:
        """For validation."""
        if self.mean is None or self.std is None:
            return images
        return (images - self.mean) / self.std


class Normalized(nn.Module):
    """A network that takes images as they are, and normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, inner: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Any:
        """What the network gives for images N x C x H x W (float32, 0 to 1)."""
        return self.inner((images - self.mean) / self.std)


def statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each colour of images N x H x W x C of bytes, on the scale 0 to 1.

    From counts of whole numbers, so that they are exact whatever adds them up. A colour that never
    changes has deviation 1, as dividing by 0 would help nobody.

    Returns:
        Two tensors of 1 x C x 1 x 1, float32.
    """
    values = np.arange(256, dtype=np.float64)
    mean, std = [], []
    for channel in range(images.shape[3]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        average = (counts @ values) / counts.sum()
        deviation = np.sqrt((counts @ (values - average) ** 2) / counts.sum())
        mean.append(average / 255)
        std.append(deviation / 255 if deviation else 1.0)
    as_tensor = [torch.tensor(it, dtype=torch.float32).view(1, -1, 1, 1) for it in (mean, std)]
    return as_tensor[0], as_tensor[1]


def _crop(images: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    up, left = height // CROP_SHARE, width // CROP_SHARE
    down = torch.randint(0, 2 * up + 1, (count, 1), generator=generator)
    right = torch.randint(0, 2 * left + 1, (count, 1), generator=generator)
    rows = (down + torch.arange(height)).to(images.device)
    columns = (right + torch.arange(width)).to(images.device)
    padded = F.pad(images, (left, left, up, up)).permute(0, 2, 3, 1)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
