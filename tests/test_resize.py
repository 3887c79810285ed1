from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from trainer.data.arrays import Arrays
from trainer.data.resize import allocate, fit, resize
from trainer.errors import DataError


def drawn(*shape: int) -> np.ndarray:
    """Bytes, always the same."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [5, 12, 32])
def test_a_square_is_scaled_as_torchvision_does_it(size: int) -> None:
    """The bytes are those of torchvision's resize of a Pillow image."""
    image = Image.fromarray(drawn(12, 12, 3))
    np.testing.assert_array_equal(fit(image, size), functional.resize(image, [size]))


@pytest.mark.parametrize("shape", [(8, 16, 3), (16, 8, 3), (12, 36, 3)])
def test_an_oblong_is_scaled_and_cut_as_torchvision_does_it(shape: tuple[int, ...]) -> None:
    """Shorter side to the size, then the middle; where no half pixel is cut, but for rounding."""
    image = Image.fromarray(drawn(*shape))
    theirs = functional.center_crop(functional.resize(image, [4]), [4])
    np.testing.assert_allclose(np.asarray(fit(image, 4), int), theirs, rtol=0, atol=1)


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("on_disk", [True, False])
def test_every_colour_is_scaled_by_itself(tmp_path: Path, colours: int, on_disk: bool) -> None:
    """Images may have any number of colours; none of them is taken for transparency."""
    images, labels = drawn(3, 6, 6, colours), np.arange(3)
    got = resize(Arrays(images, labels, images, labels), 4, "a", tmp_path if on_disk else None)
    each = [fit(Image.fromarray(images[2, ..., colour]), 4) for colour in range(colours)]
    np.testing.assert_array_equal(got.train_images[2], np.stack(each, axis=-1))
    assert got.test_images.shape == (3, 4, 4, colours)
    assert got.test_labels is labels
    assert list(tmp_path.iterdir()) == []


def test_images_of_the_size_stay_as_they_are() -> None:
    """They are not even copied."""
    images, labels = drawn(2, 4, 4, 3), np.arange(2)
    assert resize(Arrays(images, labels, images, labels), 4, "a").train_images is images


def test_what_is_no_image_cannot_be_resized() -> None:
    """A size that is asked for is never passed over."""
    table, labels = torch.ones(2, 4).numpy(), np.arange(2)
    with pytest.raises(
        DataError, match=r"but a has float32 of shape \(4,\); leave image_size out\."
    ):
        resize(Arrays(table, labels, table, labels), 4, "a")


def test_room_that_a_disk_does_not_have_is_an_error_at_once(tmp_path: Path) -> None:
    """Later, the process would be killed in the middle of an image."""
    with pytest.raises(OSError, match=r"File too large|No space left"):
        allocate((2**50, 100), tmp_path)
    assert list(tmp_path.iterdir()) == []
