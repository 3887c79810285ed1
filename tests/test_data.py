import threading
from pathlib import Path

import numpy as np
import pytest

from trainer.cifar10 import Arrays
from trainer.data import Data, keep, load, prepare
from trainer.errors import DataError

SAMPLE = Path(__file__).parent / "sample" / "cifar10.npz"


def numbered(train: int = 40, test: int = 20) -> dict[str, np.ndarray]:
    """Arrays in which the first byte of image i is i, in the training images from 100 on."""
    arrays = {}
    for source, first, count in (("train", 100, train), ("test", 0, test)):
        images = np.zeros((count, 4, 4, 3), np.uint8)
        images[:, 0, 0, 0] = np.arange(first, first + count)
        arrays[f"{source}_images"] = images
        arrays[f"{source}_labels"] = np.arange(count) % 7
    return arrays


def npz(path: Path, **changes: object) -> str:
    """The numbered arrays in a file, with changes; None leaves an array out."""
    arrays = {**numbered(), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


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


IMAGES, LABELS = numbered()["test_images"], numbered()["test_labels"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "must hold train_images, train_labels, test_images, test_labels, "
         "but holds test_images, train_images, train_labels."),
        ({"test_images": IMAGES / 255}, "test_images in {} must be uint8, N x H x W x C, with none "
         "of them 0, but is float64 of shape (20, 4, 4, 3)."),
        ({"test_images": IMAGES[..., 0]}, "but is uint8 of shape (20, 4, 4)."),
        ({"test_images": IMAGES[:0]}, "but is uint8 of shape (0, 4, 4, 3)."),
        ({"test_labels": LABELS[1:]}, "test_labels in {} must be 20 whole numbers, one an image, "
         "but is int64 of shape (19,)."),
        ({"test_labels": LABELS / 2}, "but is float64 of shape (20,)."),
        ({"train_labels": np.arange(-1, 39)}, "labels in {} must count from 0, but has a -1."),
        ({"test_images": IMAGES[:, :3]}, "Images in {} must be of one shape, but are (4, 4, 3) and "
         "(3, 4, 3)."),
        ({"test_labels": np.array([None] * 20)}, "{} must be an .npz of plain arrays, but: Object "
         "arrays cannot be loaded"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_data_set_is_an_error_that_says_what_was_got(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    """Both the parent and a worker find it, in the same words."""
    path = npz(tmp_path / "a.npz", **changes)
    with pytest.raises(DataError) as prepared:
        prepare(path, tmp_path)
    with pytest.raises(DataError) as loaded:
        load(path, "test", None, tmp_path)
    assert message.format(path) in str(prepared.value)
    assert str(prepared.value) == str(loaded.value)


def test_a_missing_or_torn_file_is_an_error(tmp_path: Path) -> None:
    """A path that leads nowhere, half a file, and something else under the name are told apart."""
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"there is no .*a\.npz"):
        prepare(str(path), tmp_path)
    npz(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"must be an \.npz"):
        prepare(str(path), tmp_path)
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match=r"must be an \.npz"):
        prepare(str(path), tmp_path)


def test_the_sample_is_real_and_large_enough() -> None:
    """The tests of training use 400 test images and 100 training images of CIFAR-10."""
    data = load(str(SAMPLE), "test", None, SAMPLE.parent)
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


class Maker:
    """Gives the numbered arrays and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        """The arrays, once more."""
        self.calls += 1
        return Arrays(**numbered())


def test_whole_arrays_are_kept_and_found_by_name(tmp_path: Path) -> None:
    """They are made once, lie under their names, and no temporary file is left beside them."""
    make = Maker()
    for _ in range(3):
        keep(tmp_path / "own", make)
    assert make.calls == 1
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == [
        "meta.json",
        "test-images.npy",
        "test-labels.npy",
        "train-images.npy",
        "train-labels.npy",
    ]
    assert which(load("own", "test", 5, tmp_path)) == ([0, 1, 2, 3, 4], [100], None)


def test_prepared_arrays_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    """What goes into hash keys does not depend on the folder."""
    for folder in ("one", "two"):
        keep(tmp_path / folder / "own", Maker())
    one, two = (load("own", "test", None, tmp_path / folder) for folder in ("one", "two"))
    assert (one.train.digest, one.digest) == (two.train.digest, two.digest)


@pytest.mark.parametrize("name", ["test-images.npy", "train-labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["flipped", "half", "empty", "gone"])
def test_a_damaged_file_is_found_said_and_made_again(
    tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever happened to a prepared file, the next start makes it whole."""
    make = Maker()
    keep(tmp_path / "own", make)
    path = tmp_path / "own" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes(
            {"flipped": flipped, "half": content[: len(content) // 2]}.get(damage, b"")
        )
    capsys.readouterr()
    keep(tmp_path / "own", make)
    assert make.calls == 2
    assert path.read_bytes() == content
    if (name, damage) != ("meta.json", "gone"):  # which is how a folder begins
        assert "is damaged" in capsys.readouterr().err


def test_arrays_other_than_expected_are_made_again(tmp_path: Path) -> None:
    """Where the SHA-256 is known beforehand, arrays that only agree with themselves do not do."""
    other = Arrays(**numbered(train=50))
    keep(tmp_path / "own", lambda: other)
    make = Maker()
    keep(tmp_path / "own", make, Arrays(**numbered()).digests())
    assert make.calls == 1
    assert len(load("own", "train", None, tmp_path).train.images) == 36


def test_what_was_interrupted_is_not_taken_for_prepared(tmp_path: Path) -> None:
    """Cut off while arrays are made again, the damaged ones are gone for load, too."""
    keep(tmp_path / "own", Maker())
    (tmp_path / "own" / "test-images.npy").write_bytes(b"")

    class Cut:
        """Arrays whose second half never comes."""

        def __getattr__(self, name: str) -> np.ndarray:
            if name.startswith("test"):
                raise KeyboardInterrupt
            return numbered()[name]

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path / "own", lambda: Cut())  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match="must be prepared"):
        load("own", "test", None, tmp_path)
    keep(tmp_path / "own", Maker())
    assert len(load("own", "test", None, tmp_path).train.images) == 20
    assert not list((tmp_path / "own").glob("*.part"))


def test_of_many_that_prepare_at_once_one_does_it(tmp_path: Path) -> None:
    """The others wait for it and find everything whole."""
    make, together = Maker(), threading.Barrier(8)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            together.wait()
            keep(tmp_path / "own", make)
            load("own", "test", None, tmp_path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert make.calls == 1


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The user reads which folder it is, and no traceback."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"own must be a folder that can be written, but"):
        keep(tmp_path / "file" / "own", Maker())
