import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import pictures
from torchvision.datasets import ImageFolder

from trainer.data.folder import EXTENSIONS, find_images, read
from trainer.errors import DataError


def names(labelled: tuple[tuple[Path, int], ...]) -> list[str]:
    """Class number and name of each image."""
    return [f"{label}{path.stem}" for path, label in labelled]


@pytest.mark.parametrize("second", ["test", "val", "valid"])
def test_train_and_test_are_numbered_and_read_as_by_torchvision(
    tmp_path: Path, second: str
) -> None:
    """Each image has the class and the pixels that torchvision's ImageFolder gives it."""
    for part, cats in (("train", 5), (second, 2)):
        pictures(tmp_path / part, {"cat": cats, "dog": 3, "elk/young": 2})
    (tmp_path / "train" / "elk" / "old.PNG").write_bytes(
        (tmp_path / "train" / "elk" / "young" / "0.png").read_bytes()
    )
    found = find_images(tmp_path)
    arrays = read(found, None, tmp_path)
    for part, labelled, images, labels in (
        ("train", found.train, arrays.train_images, arrays.train_labels),
        (second, found.test, arrays.test_images, arrays.test_labels),
    ):
        theirs = {Path(path): label for path, label in ImageFolder(tmp_path / part).samples}
        assert dict(labelled) == theirs
        assert labels.tolist() == [theirs[path] for path, _ in labelled]
        for (path, _), image in zip(labelled, images, strict=True):
            np.testing.assert_array_equal(image, Image.open(path).convert("RGB"))
    assert arrays.train_images.shape[1:] == (4, 6, 3)
    assert not list(tmp_path.glob("tmp*"))


def test_of_test_val_and_valid_the_first_is_taken(tmp_path: Path) -> None:
    """Test images go before validation images; a test folder without classes counts for none."""
    pictures(tmp_path / "train", {"cat": 2})
    pictures(tmp_path / "val", {"cat": 3})
    (tmp_path / "test").mkdir()
    assert len(find_images(tmp_path).test) == 3
    pictures(tmp_path / "test", {"cat": 1})
    assert len(find_images(tmp_path).test) == 1


def test_without_train_and_test_each_sixth_image_of_a_class_is_a_test_image(tmp_path: Path) -> None:
    """The hold-out follows from the names; an image is in one of the parts, in the other never."""
    pictures(tmp_path, {"cat": 13, "dog": 5})
    found = find_images(tmp_path)
    assert names(found.test) == ["05", "0b"]
    rest = {"0" + name for name in "012346789ac"} | {"1" + name for name in "01234"}
    assert set(names(found.train)) == rest
    assert len(found.train) == len(rest)


def test_classes_are_mixed_evenly(tmp_path: Path) -> None:
    """Any first or last images have all classes in proportion, each in the order of its names."""
    pictures(tmp_path / "train", {"cat": 8, "dog": 4})
    pictures(tmp_path / "test", {"cat": 1, "dog": 1})
    found = find_images(tmp_path)
    assert names(found.train) == [
        *("00", "10", "01", "02", "11", "03"),
        *("04", "12", "05", "06", "13", "07"),
    ]
    assert names(found.test) == ["00", "10"]


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    """What editors, notebooks and file managers leave behind is no image and no class."""
    pictures(tmp_path, {"cat": 6})
    before = find_images(tmp_path)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "cat" / "._0.png").write_text("of a file manager")
    (tmp_path / "cat" / "list.csv").write_text("0,1")
    (tmp_path / "read.me").write_text("what this is")
    assert find_images(tmp_path) == before


def test_images_are_brought_to_a_size(tmp_path: Path) -> None:
    """Of images of any size the square in the middle is taken."""
    (tmp_path / "cat").mkdir()
    for number in range(1, 7):
        wide = np.zeros((4, 8 + 4 * number, 3), np.uint8)
        wide[:, 2 * number : -2 * number] = number
        Image.fromarray(wide).save(tmp_path / "cat" / f"{number}.png")
    arrays = read(find_images(tmp_path), 2, tmp_path)
    assert arrays.train_images.shape == (5, 2, 2, 3)
    assert [np.unique(image).tolist() for image in arrays.train_images] == [
        [n] for n in range(1, 6)
    ]


def test_images_of_several_sizes_need_a_size_to_be_brought_to(tmp_path: Path) -> None:
    """The message names two of them with their sizes, and the flag that helps."""
    pictures(tmp_path, {"cat": 6})
    odd = tmp_path / "cat" / "4.png"
    Image.new("L", (7, 5)).save(odd)
    with pytest.raises(DataError) as caught:
        read(find_images(tmp_path), None, tmp_path)
    assert str(caught.value) == (
        f"Images of {tmp_path} must have one size, but {tmp_path / 'cat' / '0.png'} is 6 pixels "
        f"wide and 4 high, and {odd} is 7 wide and 5 high; resize them with --image-size."
    )


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Half a file, and one with more than 8 bits a colour, are errors and not black squares."""
    pictures(tmp_path, {"cat": 6})
    bad = tmp_path / "cat" / "5.png"
    bad.write_bytes(bad.read_bytes()[:50])
    with pytest.raises(DataError, match=rf"^{bad} must be a readable image, but: "):
        read(find_images(tmp_path), 4, tmp_path)
    Image.fromarray(np.full((4, 6), 4000, np.uint16)).save(bad)
    with pytest.raises(DataError, match=rf"^{bad} must have 8 bits per channel, but .* 'I;16'\."):
        read(find_images(tmp_path), 4, tmp_path)


def test_a_fingerprint_is_of_names_sizes_times_and_the_image_size(tmp_path: Path) -> None:
    """It changes with each of these, and not with the place of the folder."""
    pictures(tmp_path / "one", {"cat": 6})
    image = tmp_path / "one" / "cat" / "0.png"

    def now(size: int | None = None, folder: str = "one") -> str:
        return find_images(tmp_path / folder).fingerprint(size)

    seen = [now(), now(32)]
    os.utime(image, ns=(0, 0))
    seen.append(now())
    image.write_bytes(image.read_bytes() + b"more")
    os.utime(image, ns=(0, 0))
    seen.append(now())
    image.rename(image.with_name("00.png"))
    seen.append(now())
    (tmp_path / "one" / "cat").rename(tmp_path / "one" / "dog")
    seen.append(now())
    assert len(set(seen)) == 6
    (tmp_path / "one").rename(tmp_path / "two")
    assert now(folder="two") == seen[-1]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "{0} must hold a folder for each class, or train and test with a folder for each "
         "class, but holds no folder."),
        ({"": {"cat": 5, "dog": 2}}, "{0} must have 6 images in a class, as each sixth is a test "
         "image, but has 5 at most; or sort them into train and test."),
        ({"": {"cat": 6, "dog": 0}}, f"{{0}}/dog must hold images ({', '.join(EXTENSIONS)}) of a "
         "class, but holds none."),
        ({"train": {"cat": 6}}, "{0} must have classes in test or val or valid too, but "
         "has them in train only."),
        ({"test": {"cat": 6}, "val": {"cat": 1}}, "{0} must have classes in train too, but has "
         "them in test only."),
        ({"train": {"cat": 1}, "valid": {"cat": 1, "dog": 1}}, "Classes of {0} must be the same in "
         "train and valid, but only valid has 'dog'."),
        ({"train": {"cat": 1, "dog": 1}, "val": {"dog": 1}}, "Classes of {0} must be the same in "
         "train and val, but only train has 'cat'."),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_data_set_is_an_error(
    tmp_path: Path, parts: dict[str, dict[str, int]], message: str
) -> None:
    """The message says what the folder must hold and what it does."""
    for part, classes in parts.items():
        pictures(tmp_path / part, classes)
    with pytest.raises(DataError) as caught:
        find_images(tmp_path)
    assert str(caught.value) == message.format(tmp_path)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A path that leads nowhere is told."""
    with pytest.raises(
        DataError, match=r"must be a folder of images, but there is no folder .*x\."
    ):
        find_images(tmp_path / "x")
