"""Images brought to one size: the square in the middle, scaled with antialiasing."""

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
    """The image's shorter side scaled to `size` pixels (bilinear, antialiased), the longer one cut.

    Pillow counts in whole numbers, so every machine gets the same bytes from one of its versions.
    """
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def resized(arrays: Arrays, size: int, name: str, folder: Path | None = None) -> Arrays:
    """The same data set with images of `size` x `size`, each colour scaled by itself.

    Args:
        arrays: with images of bytes.
        size: height and width, in pixels.
        name: of the data set, for the error.
        folder: where the images made lie while they are used; None: in memory.

    Raises:
        DataError: its inputs are no images.
    """
    from PIL import Image

    if arrays.train_images.dtype != np.uint8:
        raise DataError(
            f"image_size must be left out where inputs are no images of bytes, but {name} has "
            f"{arrays.train_images.dtype} of shape {arrays.train_images.shape[1:]}."
        )

    def part(images: NDArray[Any]) -> NDArray[np.uint8]:
        count, height, width, colours = images.shape
        if height == width == size:
            return images
        made = room((count, size, size, colours), folder)
        for number, image in enumerate(images):
            for colour in range(colours):
                grey = Image.fromarray(image[..., colour])
                made[number, ..., colour] = np.asarray(fit(grey, size))
        return made

    return Arrays(
        part(arrays.train_images), arrays.train_labels, part(arrays.test_images), arrays.test_labels
    )


def room(shape: tuple[int, ...], folder: Path | None) -> NDArray[np.uint8]:
    """Bytes to write to, which may be more than memory holds where they lie in a folder.

    The file has no name, so it goes with the array, and with the process however that ends.
    """
    if folder is None:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape))  # full: an error now, no crash later
        return np.memmap(file, np.uint8, "w+", shape=shape)
