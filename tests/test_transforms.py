import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.training.transforms import Transform, statistics


def images_of(count: int, side: int = 16) -> torch.Tensor:
    """Random images, N x 3 x side x side, none of whose pixels is 0."""
    generator = torch.Generator().manual_seed(1)
    return 0.1 + 0.9 * torch.rand((count, 3, side, side), generator=generator)


def seeded() -> torch.Generator:
    """Always the same."""
    return torch.Generator().manual_seed(5)


def test_nothing_is_done_unless_it_is_asked_for() -> None:
    """Images go through as they are, and nothing is drawn."""
    generator = seeded()
    images = images_of(3)
    assert Transform().train(images, generator) is images
    assert Transform().plain(images) is images
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=seeded()))


def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_others() -> None:
    """Each image is itself or its mirror image."""
    images = images_of(400, side=4)
    flipped = Transform(augment=("flip",)).train(images, seeded())
    mirrored = [torch.equal(one, two.flip(2)) for one, two in zip(flipped, images, strict=True)]
    same = [torch.equal(one, two) for one, two in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 150 < sum(mirrored) < 250


def test_a_crop_moves_each_image_by_at_most_an_eighth_and_fills_with_black() -> None:
    """It equals cutting a window out of the padded image, at every place there is."""
    images = images_of(200)
    cropped = Transform(augment=("crop",)).train(images, seeded())
    padded = F.pad(images, (2, 2, 2, 2))
    places = set()
    for one, whole in zip(cropped, padded, strict=True):
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(one, whole[:, down : down + 16, right : right + 16])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 25
    assert cropped.is_contiguous(memory_format=torch.channels_last)


def test_what_is_drawn_comes_from_the_generator_alone() -> None:
    """The same generator gives the same images, whatever torch's own state."""
    transform = Transform(augment=("crop", "flip"))
    torch.manual_seed(1)
    one = transform.train(images_of(20), seeded())
    torch.manual_seed(2)
    assert torch.equal(transform.train(images_of(20), seeded()), one)
    other = transform.train(images_of(20), torch.Generator().manual_seed(6))
    assert not torch.equal(other, one)


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    """By colour; validation images are brought by the same figures."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    pixels[..., 1] //= 3
    mean, std = statistics(pixels)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    transform = Transform(mean=mean, std=std)
    brought = transform.plain(images)
    assert brought.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert brought.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], rel=1e-5)
    assert torch.equal(transform.train(images, seeded()), brought)


def test_a_colour_that_never_changes_is_not_divided_by_0() -> None:
    """It becomes 0."""
    mean, std = statistics(np.full((4, 2, 2, 1), 51, np.uint8))
    assert mean.flatten().tolist() == pytest.approx([0.2])
    assert std.flatten().tolist() == [1.0]


def test_augmentations_are_words_in_any_order() -> None:
    """One spelling, so that the same run has one key; an unknown word is told."""
    assert TrainConfig(augment=" flip, crop").augment == "crop,flip"
    with pytest.raises(ConfigError, match="Unknown augment 'flop'; did you mean 'flip'"):
        TrainConfig(augment="flop")
