from pathlib import Path

import numpy as np
import pytest
from examples import npz, numbered

from trainer.arrays import Arrays, keep
from trainer.data import Data, load, prepare
from trainer.errors import DataError


def which(data: Data) -> tuple[list[int], list[int], list[int] | None]:
    """The numbers of the images of each part."""

    def first_bytes(images: np.ndarray) -> list[int]:
        return [int(number) for number in images[:, 0, 0, 0]]

    test = None if data.test is None else first_bytes(data.test.images)
    return first_bytes(data.train.images), first_bytes(data.val.images), test


@pytest.mark.parametrize(
    ("split", "limit", "train", "val", "test"),
    [
        ("test", None, range(20), range(100, 104), None),
        ("test", 10, range(10), range(100, 102), None),
        ("test", 20, range(20), range(100, 104), None),
        ("train", None, range(100, 136), range(136, 140), range(20)),
        ("train", 10, range(100, 110), range(136, 138), range(20)),
        ("train", 36, range(100, 136), range(136, 140), range(20)),
    ],
)
def test_each_split_takes_its_own_images(
    tmp_path: Path, split: str, limit: int | None, train: range, val: range, test: range | None
) -> None:
    """Which images a part holds follows from the split and the limit, and no image is in two."""
    data = load(npz(tmp_path / "a.npz"), split, limit, tmp_path)
    assert which(data) == (list(train), list(val), None if test is None else list(test))
    assert data.train.labels.dtype == data.val.labels.dtype == np.int64
    first = 0 if split == "test" else 100
    assert data.train.labels.tolist() == [(number - first) % 7 for number in train]
    assert (data.name, data.classes) == ("a", 7)


def test_few_training_images_make_the_validation_smaller(tmp_path: Path) -> None:
    """Split test validates on a fifth as many images as it trains on, or on all there are."""
    few = npz(tmp_path / "a.npz", **{k: v for k, v in numbered(train=3).items() if "train" in k})
    assert which(load(few, "test", None, tmp_path)) == (list(range(20)), [100, 101, 102], None)


def test_a_limit_above_what_exists_names_both_numbers(tmp_path: Path) -> None:
    """Training on fewer images than were asked for would be a silent lie."""
    path = npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"at most 20, .* split 'test' .* but got 21\."):
        load(path, "test", 21, tmp_path)
    with pytest.raises(DataError, match=r"at most 36, .* split 'train' .* but got 37\."):
        load(path, "train", 37, tmp_path)


@pytest.mark.parametrize(("train", "limit"), [(40, 4), (9, None), (40, 0), (40, -5)])
def test_no_image_to_validate_on_is_an_error(tmp_path: Path, train: int, limit: int | None) -> None:
    """A run without validation is none."""
    arrays = {k: v for k, v in numbered(train=train).items() if "train" in k}
    with pytest.raises(DataError, match="must leave an image to validate on"):
        load(npz(tmp_path / "a.npz", **arrays), "train", limit, tmp_path)


def test_unknown_names_are_errors_with_the_nearest_choice(tmp_path: Path) -> None:
    """Misspelt data sets and splits are told from those there are."""
    with pytest.raises(DataError, match="did you mean 'digits'"):
        prepare("digit", tmp_path)
    with pytest.raises(DataError, match="did you mean 'train'"):
        load("digits", "trian", None, tmp_path)


def test_digests_are_of_content_and_range_and_not_of_place(tmp_path: Path) -> None:
    """The same file elsewhere, and a limit that takes everything, have the same digests."""
    (tmp_path / "elsewhere").mkdir()
    here, there = npz(tmp_path / "a.npz"), npz(tmp_path / "elsewhere" / "b.npz")
    data = load(here, "test", None, tmp_path)
    same = load(there, "test", 20, tmp_path)
    assert (data.digest, data.train.digest) == (same.digest, same.train.digest)
    assert len(data.digest) <= 36
    fewer = load(here, "test", 10, tmp_path)
    other = load(here, "train", None, tmp_path)
    assert len({part.digest for d in (data, fewer, other) for part in (d.train, d.val)}) == 6
    assert len({data.digest, fewer.digest, other.digest}) == 3


def test_a_changed_file_is_another_data_set(tmp_path: Path) -> None:
    """One bit in an image, one label, or another shape of the same bytes changes the digest."""
    before = load(npz(tmp_path / "a.npz"), "test", None, tmp_path)
    arrays = numbered()
    changed_image, changed_label = arrays["test_images"].copy(), arrays["test_labels"].copy()
    changed_image[19, 3, 3, 2] ^= 1
    changed_label[19] += 1
    turned = {name: arrays[name].reshape(-1, 2, 8, 3) for name in ("train_images", "test_images")}
    digests = {before.train.digest}
    for change in ({"test_images": changed_image}, {"test_labels": changed_label}, turned):
        after = load(npz(tmp_path / "a.npz", **change), "test", None, tmp_path)
        digests.add(after.train.digest)
    assert len(digests) == 4


def test_the_type_labels_are_kept_in_does_not_matter(tmp_path: Path) -> None:
    """Labels of the same values are the same labels."""
    wide = load(npz(tmp_path / "a.npz"), "test", None, tmp_path)
    narrow = {name: numbered()[name].astype(np.uint8) for name in ("train_labels", "test_labels")}
    assert load(npz(tmp_path / "a.npz", **narrow), "test", None, tmp_path).digest == wide.digest


def test_the_sample_is_real_and_large_enough(sample: Path) -> None:
    """The tests of training use 400 test images and 100 training images of CIFAR-10."""
    data = load(str(sample), "test", None, sample.parent)
    assert data.train.images.shape == (400, 32, 32, 3)
    assert data.val.images.shape == (80, 32, 32, 3)
    assert data.classes == 10
    assert data.train.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]


def test_digits_are_images_like_those_of_cifar10(tmp_path: Path) -> None:
    """1,297 + 500 grey images of 32 x 32, each of the 8 x 8 pixels four wide and high."""
    prepare("digits", tmp_path)
    data = load("digits", "train", None, tmp_path)
    assert data.test is not None
    assert data.train.images.shape == (1168, 32, 32, 3)
    assert (len(data.val.images), len(data.test.images), data.classes) == (129, 500, 10)
    assert isinstance(data.train.images, np.memmap)
    image = data.train.images[0]
    np.testing.assert_array_equal(image, image[::4, ::4, :1].repeat(4, 0).repeat(4, 1).repeat(3, 2))
    assert data.train.images.max() == 240
    assert data.train.labels[:10].tolist() == list(range(10))


def test_a_data_set_that_was_not_prepared_is_an_error(tmp_path: Path) -> None:
    """Workers prepare nothing."""
    with pytest.raises(DataError, match=r"'cifar10' must be prepared in .*cifar10 first"):
        load("cifar10", "test", None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_prepared_data_has_the_same_digest_wherever_it_lies(tmp_path: Path) -> None:
    """What goes into hash keys does not depend on the folder, nor on who prepared it when."""
    for folder in ("one", "two"):
        keep(tmp_path / folder / "own", lambda: Arrays(**numbered()))
    one, two = (load("own", "test", None, tmp_path / folder) for folder in ("one", "two"))
    assert (one.train.digest, one.digest) == (two.train.digest, two.digest)


def test_a_damaged_npz_is_found_by_the_parent_and_by_a_worker_in_the_same_words(
    tmp_path: Path,
) -> None:
    """Whoever comes first says it, so it does not matter who does."""
    path = npz(tmp_path / "a.npz", test_labels=None)
    with pytest.raises(DataError) as prepared:
        prepare(path, tmp_path)
    with pytest.raises(DataError) as loaded:
        load(path, "test", None, tmp_path)
    assert str(prepared.value) == str(loaded.value)
