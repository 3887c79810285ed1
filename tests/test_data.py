import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from samples import npz, numbered, pictures

from trainer.data import Data, load, prepare
from trainer.data.arrays import Arrays, ensure_arrays
from trainer.errors import ConfigError, DataError
from trainer.settings.references import unload_changed


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


@pytest.mark.parametrize(
    ("dataset", "split", "limit", "digest", "parts"),
    [
        ("digits", "test", None, "9a50b4672df16b533fe9dc5c3def2408", "e492283b 73fa7c04"),
        ("digits", "train", 10, "5bb39549485c964f3ea6bb3ef2b4b8f3", "b4747b68 c5cf4ca2"),
        ("sample", "test", 10, "c4314d584118e5cb25c24f8e22fb3176", "887a40f2 0cab6996"),
        ("sample", "train", None, "de9774149689ec8c2c7015a91cd1c4ef", "a0106d9f 44244213"),
    ],
)
def test_digests_are_those_that_epochs_were_stored_under(
    tmp_path: Path,
    sample: Path,
    dataset: str,
    split: str,
    limit: int | None,
    digest: str,
    parts: str,
) -> None:
    """Were they to change, every stored epoch would be trained again."""
    if dataset == "digits":
        prepare("digits", tmp_path)
    data = load(str(sample) if dataset == "sample" else "digits", split, limit, tmp_path)
    assert data.digest == digest
    assert f"{data.train.digest[:8]} {data.val.digest[:8]}" == parts


def test_inputs_and_targets_of_a_regression_have_digests_of_their_own(tmp_path: Path) -> None:
    """Type and shape count where inputs are no images or labels no classes, even for one byte."""

    def digest(images: np.ndarray, labels: np.ndarray) -> str:
        arrays = {f"{source}_images": images for source in ("train", "test")}
        arrays |= {f"{source}_labels": labels for source in ("train", "test")}
        return load(npz(tmp_path / "a.npz", **arrays), "test", 10, tmp_path).digest

    zeros, labels = np.zeros((20, 2, 2, 1), np.uint8), np.zeros(20, np.int64)
    digests = [digest(zeros, labels), digest(zeros.astype(np.float32), labels)]
    digests += [digest(zeros[:, :1], labels / 1), digest(zeros, labels / 1)]
    digests += [digest(zeros, np.zeros((20, 2))), digest(zeros.astype(float), np.zeros((20, 2)))]
    assert len(set(digests)) == 6
    assert digest(zeros.astype(float), labels) == digests[1]


def test_a_regression_is_told_from_a_classification(tmp_path: Path) -> None:
    """Targets come as N x K of float32, and K stands for the number of classes."""
    assert load(npz(tmp_path / "a.npz"), "test", None, tmp_path).is_classification
    targets = {"train_labels": np.arange(80.0).reshape(40, 2), "test_labels": np.ones((20, 2))}
    data = load(npz(tmp_path / "a.npz", **targets), "train", None, tmp_path)
    assert (data.is_classification, data.classes) == (False, 2)
    assert (data.train.labels.shape, data.train.labels.dtype) == ((36, 2), np.float32)
    np.testing.assert_array_equal(data.val.labels, targets["train_labels"][36:])


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
        ensure_arrays(tmp_path / folder / "digits", lambda: Arrays(**numbered()))
    one, two = (load("digits", "test", None, tmp_path / folder) for folder in ("one", "two"))
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


def prepared(tmp_path: Path) -> list[str]:
    """What lies in the folder of prepared data sets."""
    return sorted(path.name for path in (tmp_path / "sets").glob("[!.]*"))


def test_a_changed_folder_is_another_data_set_and_a_touched_one_is_not(tmp_path: Path) -> None:
    """Both are prepared anew; the digest is of the pixels alone, so a touch loses no epoch."""
    root, sets = tmp_path / "pets", tmp_path / "sets"
    pictures(root, {"cat": 12, "dog": 12})
    digests = []
    for change in (
        lambda: None,
        lambda: os.utime(root / "cat" / "3.png", ns=(0, 0)),
        lambda: shutil.copy(root / "dog" / "3.png", root / "cat" / "3.png"),
    ):
        change()
        prepare(str(root), sets)
        data = load(str(root), "train", None, sets)
        digests.append(data.digest)
    assert digests[0] == digests[1] != digests[2]
    names = prepared(tmp_path)
    assert len(names) == 3
    assert all(name.startswith("pets-") for name in names)
    assert isinstance(data.train.images, np.memmap)
    assert (data.name, data.classes, data.train.images.shape) == ("pets", 2, (18, 4, 6, 3))

    for _ in range(2):  # once prepared, it is found
        prepare(f"{root}/", sets)
    assert prepared(tmp_path) == names
    prepare(str(root), sets, 4)
    assert load(str(root), "train", None, sets, 4).train.images.shape == (18, 4, 4, 3)


def test_a_folder_that_changed_since_it_was_prepared_is_not_taken_for_prepared(
    tmp_path: Path,
) -> None:
    """A worker must not train on other images than the parent has keys for."""
    pictures(tmp_path / "pets", {"cat": 6})
    prepare(str(tmp_path / "pets"), tmp_path / "sets")
    pictures(tmp_path / "pets", {"cat": 7})
    with pytest.raises(DataError, match=r"'pets-\w{16}' must be prepared in .* first"):
        load(str(tmp_path / "pets"), "test", None, tmp_path / "sets")


def test_of_a_folder_with_a_bad_image_nothing_is_prepared(tmp_path: Path) -> None:
    """An error in the last image leaves no half of the others."""
    pictures(tmp_path / "pets", {"cat": 12})
    (tmp_path / "pets" / "cat" / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.png must be a readable image"):
        prepare(str(tmp_path / "pets"), tmp_path / "sets")
    assert prepared(tmp_path) == []


def test_the_image_size_is_of_every_data_set_of_images(tmp_path: Path) -> None:
    """What is prepared at one size is another data set than at another, and both may lie there."""
    path = npz(tmp_path / "a.npz")
    digests = set()
    for dataset in (path, "digits"):
        for size in (None, 8, 6):
            prepare(dataset, tmp_path / "sets", size)
            data = load(dataset, "test", 10, tmp_path / "sets", size)
            assert size is None or data.train.images.shape[1:] == (size, size, 3)
            digests.add(data.digest)
    assert len(digests) == 6
    assert prepared(tmp_path) == ["digits", "digits-6", "digits-8"]
    np.savez(path, **{n: a / 9 if "images" in n else a for n, a in numbered().items()})
    with pytest.raises(
        DataError, match=r"With image_size inputs must be uint8 images, but .* has float32 of shape"
    ):
        prepare(path, tmp_path / "sets", 8)


def test_a_users_function_is_called_once_for_each_state_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gave is kept and found by workers, which do not call it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sets, calls = tmp_path / "sets", tmp_path / "calls"
    digests = []
    for number in (1, 22):
        (tmp_path / "own_set.py").write_text(
            "from pathlib import Path\n"
            "from samples import numbered\n"
            "def make():\n"
            f"    with Path({str(calls)!r}).open('a') as file:\n"
            "        file.write('called\\n')\n"
            f"    return {{name: array + {number} for name, array in numbered().items()}}\n"
        )
        unload_changed(["own_set:make"])
        with pytest.raises(DataError, match=r"'make-\w{16}' must be prepared"):
            load("own_set:make", "test", None, sets)
        for size in (None, 8, None):
            prepare("own_set:make", sets, size)
        data = load("own_set:make", "test", None, sets)
        digests.append(data.digest)
        assert len(calls.read_text().splitlines()) == len(digests)
        assert load("own_set:make", "test", None, sets, 8).train.images.shape == (20, 8, 8, 3)
    assert (data.name, data.classes) == ("own_set:make", 29)
    assert isinstance(data.train.images, np.memmap)
    assert digests[0] != digests[1]
    assert len(prepared(tmp_path)) == 4
    shutil.rmtree(sets)
    prepare("own_set:make", sets)
    assert len(calls.read_text().splitlines()) == 3


def test_a_function_that_cannot_be_found_is_an_error_in_parent_and_worker(tmp_path: Path) -> None:
    """Each says it in one line."""
    with pytest.raises(ConfigError, match=r"dataset 'nowhere:make' must be importable"):
        prepare("nowhere:make", tmp_path)
    with pytest.raises(ConfigError, match=r"dataset 'nowhere:make' must be importable"):
        load("nowhere:make", "test", None, tmp_path)
    assert list(tmp_path.iterdir()) == []
