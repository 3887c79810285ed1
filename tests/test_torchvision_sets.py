import gzip
import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR100, MNIST

from trainer.data import load, prepare
from trainer.data.arrays import Arrays
from trainer.data.download import SCRATCH
from trainer.data.torchvision_sets import NAMES, dataset_class, fetch
from trainer.errors import DataError

DRAW = np.random.default_rng(0)
GREY = Arrays(
    DRAW.integers(0, 256, (20, 28, 28, 1), np.uint8),
    np.arange(20) % 10,
    DRAW.integers(0, 256, (10, 28, 28, 1), np.uint8),
    np.arange(10),
)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as MNIST's files have it."""
    shape = struct.pack(f">{array.ndim}i", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, name: str = "MNIST") -> Path:
    """The grey images as the unpacked files of MNIST or of its likes."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for source, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = getattr(GREY, f"{source}_images"), getattr(GREY, f"{source}_labels")
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images[..., 0]))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return raw


class Hundred(CIFAR100):
    """CIFAR-100 of two files that no MD5 is known of."""

    train_list = (("train", None),)
    test_list = (("test", None),)
    meta = {"filename": "meta", "key": "fine_label_names", "md5": None}  # noqa: RUF012


def unreachable(source: Any, root: Path) -> None:
    """No network, in the middle of a download."""
    (root / "half").write_bytes(b"half a download")
    raise DataError("no answer within 10 seconds")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_is_read_from_files_put_there_by_hand(tmp_path: Path, name: str) -> None:
    """Grey images of 28 x 28, memory-mapped; at image size 32 they fit the tutorial's network."""
    write_mnist(tmp_path / "downloads", NAMES[name])
    prepare(name, tmp_path)
    data = load(name, "train", None, tmp_path)
    assert data.test is not None
    np.testing.assert_array_equal(data.train.images, GREY.train_images[:18])
    np.testing.assert_array_equal(data.val.images, GREY.train_images[18:])
    np.testing.assert_array_equal(data.test.labels, GREY.test_labels)
    assert (data.name, data.classes, data.is_classification) == (name, 10, True)
    assert isinstance(data.train.images, np.memmap)

    prepare(name, tmp_path, 32)
    larger = load(name, "train", None, tmp_path, 32)
    assert isinstance(larger.train.images, np.memmap)
    assert larger.train.images.shape == (18, 32, 32, 1)
    assert larger.digest != data.digest
    assert load(name, "train", None, tmp_path).digest == data.digest


def test_archives_put_there_by_hand_are_unpacked(tmp_path: Path) -> None:
    """Their MD5 is checked first; torchvision, which would download others, is not asked."""
    raw = write_mnist(tmp_path / "downloads", "Packed")
    md5s = []
    for name, _ in MNIST.resources:
        plain = raw / Path(name).stem
        (raw / name).write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
        md5s.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    packed = type("Packed", (MNIST,), {"resources": md5s, "mirrors": ["file:///nowhere/"]})
    assert fetch(packed, tmp_path, unreachable).digests() == GREY.digests()

    (raw / name).write_bytes(b"something else")
    with pytest.raises(
        DataError, match=rf"{raw / name} must have the MD5 {md5s[-1][1]}, but does not"
    ):
        fetch(packed, tmp_path, unreachable)


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    """Images of 32 x 32 in three colours, and labels up to 99."""
    folder = tmp_path / "downloads" / "cifar-100-python"
    folder.mkdir(parents=True)
    images = DRAW.integers(0, 256, (6, 32, 32, 3), np.uint8)
    for name, some in (("train", slice(0, 4)), ("test", slice(4, 6))):
        batch = {
            "data": images[some].transpose(0, 3, 1, 2).reshape(-1, 3072),
            "fine_labels": list(range(94, 100))[some],
            "coarse_labels": [1] * 6,
        }
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a"] * 100}))
    got = fetch(Hundred, tmp_path, unreachable)
    np.testing.assert_array_equal(got.train_images, images[:4])
    np.testing.assert_array_equal(got.test_images, images[4:])
    assert (got.train_labels.tolist(), got.test_labels.tolist()) == ([94, 95, 96, 97], [98, 99])
    assert got.classes == 100


def test_what_is_fetched_is_read_and_its_download_removed(tmp_path: Path) -> None:
    """The folder holds nothing but what `keep` puts there."""
    got = fetch(MNIST, tmp_path, lambda source, root: write_mnist(root) and None)
    assert got.digests() == GREY.digests()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "files", "place"),
    [
        ("mnist", "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
         "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz", "MNIST/raw"),
        ("fashion_mnist", "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
         "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz", "FashionMNIST/raw"),
        ("cifar100", "cifar-100-python.tar.gz", "."),
    ],
)  # fmt: skip
def test_without_a_network_it_says_which_files_to_put_where(
    tmp_path: Path, name: str, files: str, place: str
) -> None:
    """One line; what was begun to be downloaded is gone, and what a killed process left too."""
    (tmp_path / f"{SCRATCH}abc").mkdir()
    with pytest.raises(DataError) as caught:
        fetch(dataset_class(name), tmp_path, unreachable)
    assert str(caught.value) == (
        f"{NAMES[name]} could not be downloaded: no answer within 10 seconds. Put {files} "
        f"into {tmp_path / 'downloads' / place} and start again, or use `--dataset digits`, which "
        "needs no download."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"half", idx(np.zeros((3, 28, 28)))])
def test_damaged_files_are_an_error_that_says_where_they_lie(
    tmp_path: Path, content: bytes
) -> None:
    """Neither torn files nor fewer images than labels are taken."""
    raw = write_mnist(tmp_path / "downloads")
    (raw / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{tmp_path / 'downloads'}( must hold a complete MNIST| must be)"
    ):
        prepare("mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["downloads"]
