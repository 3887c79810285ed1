"""Augmentation and normalization of image batches, with a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

CROP_SHARE = 8
"""A crop shifts the image by up to 1/CROP_SHARE of its side (4 pixels of 32)."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """Augmentation, then normalization, of images N x C x H x W (float32, 0 to 1).

    Attributes:
        augment: "crop" (random shift by up to an eighth of the side, padded with 0), "flip" (random
            horizontal flip, probability 1/2), both, or neither.
        mean: of each channel, 1 x C x 1 x 1; None: no normalization.
        std: standard deviation of each channel, 1 x C x 1 x 1.
    """

    augment: tuple[str, ...] = ()
    mean: Tensor | None = None
    std: Tensor | None = None

    def train(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Training images, augmented with random numbers from `generator` (on the CPU)."""
        if "crop" in self.augment:
            images = _crop(images, generator)
        if "flip" in self.augment:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            chosen = mirrored.to(images.device)[:, None, None, None]
            images = torch.where(chosen, images.flip(3), images)
        return self.plain(images)

    def plain(self, images: Tensor) -> Tensor:
        """Validation images, not augmented."""
        if self.mean is None or self.std is None:
            return images
        return (images - self.mean) / self.std


class Normalized(nn.Module):
    """A network preceded by the normalization of its images."""

    mean: Tensor
    std: Tensor

    def __init__(self, inner: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Any:
        """Outputs for images N x C x H x W (float32, 0 to 1)."""
        return self.inner((images - self.mean) / self.std)


def statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of uint8 images N x H x W x C, scaled to 0..1.

    They are computed from a histogram of integers, so that the order of summation cannot change
    them. A constant channel gets deviation 1, to avoid a division by 0.

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
