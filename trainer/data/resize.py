"""Resizing: the central square of each image, scaled with antialiasing."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.arrays import Arrays
from trainer.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def fit(image: Image, size: int) -> Image:
    """Scale the shorter side to `size` pixels (bilinear, antialiased) and crop the longer one.

    Pillow uses integer arithmetic, so one version of it gives the same bytes on every machine.
    """
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def resize(arrays: Arrays, size: int, name: str, folder: Path | None = None) -> Arrays:
    """Resize all images to `size` x `size`, each channel by itself.

    Args:
        arrays: a data set of uint8 images.
        size: height and width in pixels.
        name: of the data set, for the error message.
        folder: holds the temporary files that back the new arrays; None: use memory.

    Raises:
        DataError: the inputs are not images.
    """
    from PIL import Image

    if arrays.train_images.dtype != np.uint8:
        raise DataError(
            f"With image_size inputs must be uint8 images, but {name} has "
            f"{arrays.train_images.dtype} of shape {arrays.train_images.shape[1:]}; leave "
            "image_size out."
        )

    def part(images: NDArray[Any]) -> NDArray[np.uint8]:
        count, height, width, channels = images.shape
        if height == width == size:
            return images
        made = allocate((count, size, size, channels), folder)
        for number, image in enumerate(images):
            for channel in range(channels):
                grey = Image.fromarray(image[..., channel])
                made[number, ..., channel] = np.asarray(fit(grey, size))
        return made

    return Arrays(
        part(arrays.train_images), arrays.train_labels, part(arrays.test_images), arrays.test_labels
    )


def allocate(shape: tuple[int, ...], folder: Path | None) -> NDArray[np.uint8]:
    """Allocate a uint8 array, backed by a file in `folder` if given, so it may exceed memory.

    The file is unnamed, so the system frees it with the array, even if the process is killed.
    """
    if folder is None:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))  # a full disk fails now, not later
        return np.memmap(file, np.uint8, "w+", shape=shape)
