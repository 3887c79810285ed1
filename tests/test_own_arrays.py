from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from brought import words
from samples import npz, numbered
from torch.nn import functional as F

from trainer.data.arrays import ARRAYS
from trainer.data.own_arrays import call, read_npz
from trainer.errors import ConfigError, DataError
from trainer.settings.config import TrainConfig
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore

PARTS = {"train": 20, "test": 40}
IMAGES, LABELS = numbered()["test_images"], numbered()["test_labels"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "must hold train_images, train_labels, test_images, test_labels, "
         "but holds test_images, train_images, train_labels."),
        ({"test_images": IMAGES.astype(int)}, "test_images in {} must be uint8, N x H x W x C, or "
         "float32, N x ..., or integers, N x L, and not empty, but is int64 of shape (20, 4, 4, "
         "3)."),
        ({"test_images": LABELS / 7}, "but is float64 of shape (20,)."),
        ({"test_images": IMAGES[..., 0]}, "but is uint8 of shape (20, 4, 4)."),
        ({"test_images": IMAGES[:0]}, "but is uint8 of shape (0, 4, 4, 3)."),
        ({"test_labels": LABELS[1:]}, "test_labels in {} must be 20 integers, one per image, "
         "or targets, float32 of shape (20,) or (20, K), but is int64 of shape (19,)."),
        ({"test_labels": LABELS[1:] / 2}, "but is float64 of shape (19,)."),
        ({"test_labels": LABELS[:, None]}, "but is int64 of shape (20, 1)."),
        ({"test_labels": np.zeros((20, 0))}, "but is float64 of shape (20, 0)."),
        ({"test_labels": LABELS > 3}, "but is bool of shape (20,)."),
        ({"test_labels": LABELS / 2}, "Labels in {} must be of one type and shape, but are int64 "
         "(train) and float32 of shape (1,) (test)."),
        ({"train_labels": np.arange(-1, 39)}, "labels in {} must be class indices from 0, but "
         "has -1."),
        ({"test_images": IMAGES[:, :3]}, "Images in {} must be of one type and shape, but are "
         "uint8 of shape (4, 4, 3) (train) and uint8 of shape (3, 4, 3) (test)."),
        ({"test_images": IMAGES / 255}, "but are uint8 of shape (4, 4, 3) (train) and float32 of "
         "shape (4, 4, 3) (test)."),
        ({"test_images": np.where(np.arange(60).reshape(20, 3) == 7, np.nan, 0)}, "test_images in "
         "{} must be finite as float32, but has nan at (2, 1)."),
        ({"test_labels": np.where(LABELS == 6, 1e39, 0)}, "test_labels in {} must be finite as "
         "float32, but has 1e+39 at (6,)."),
        ({"test_labels": np.array([None] * 20)}, "{} must be an .npz of plain arrays, but: Object "
         "arrays cannot be loaded"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_data_set_is_an_error_that_says_what_was_got(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    """The message names the array, what it must be and what it is."""
    path = npz(tmp_path / "a.npz", **changes)
    with pytest.raises(DataError) as caught:
        read_npz(Path(path))
    assert message.format(path) in str(caught.value)


def test_a_missing_or_torn_file_is_an_error(tmp_path: Path) -> None:
    """A path that leads nowhere, half a file, and something else under the name are told apart."""
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"there is no .*a\.npz"):
        read_npz(path)
    npz(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"must be an \.npz"):
        read_npz(path)
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match=r"must be an \.npz"):
        read_npz(path)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_inputs_and_targets_of_any_float_become_float32(tmp_path: Path, kind: str) -> None:
    """Inputs keep their shape and values; N targets become N x 1, so that no loss broadcasts."""
    train, test = np.arange(24).reshape(4, 3, 2) / 8, np.arange(6).reshape(1, 3, 2) / 8
    for width in ((), (1,), (3,)):
        targets = {
            f"{s}_labels": np.ones((n, *width), kind) for s, n in (("train", 4), ("test", 1))
        }
        images = {"train_images": train.astype(kind), "test_images": test.astype(kind)}
        got = read_npz(Path(npz(tmp_path / "a.npz", **images, **targets)))
        assert {getattr(got, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(got.train_images, train)
        assert got.train_labels.shape == (4, *(width or (1,)))
        assert got.classes == (width or (1,))[0]


def test_images_may_have_targets_and_inputs_may_have_classes(tmp_path: Path) -> None:
    """What the inputs are says nothing of what the labels are."""
    aged = {"train_labels": np.linspace(0, 90, 40), "test_labels": np.linspace(0, 90, 20)}
    got = read_npz(Path(npz(tmp_path / "a.npz", **aged)))
    assert (got.train_images.dtype, got.train_labels.dtype, got.classes) == (
        np.uint8,
        np.float32,
        1,
    )
    table = {"train_images": np.ones((40, 9)), "test_images": np.ones((20, 9))}
    got = read_npz(Path(npz(tmp_path / "a.npz", **table)))
    assert (got.train_images.shape, got.train_labels.dtype, got.classes) == ((40, 9), np.int64, 7)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int64])
def test_indices_reach_the_network_as_they_are(
    tmp_path: Path, small: Callable[..., TrainConfig], store: StageStore, kind: type
) -> None:
    """As int64, whatever their type: an epoch of embeddings equals a plain torch loop's."""
    draw = np.random.default_rng(0)
    ids = {f"{s}_images": draw.integers(0, 50, (n, 6)).astype(kind) for s, n in PARTS.items()}
    labels = {f"{s}_labels": draw.integers(0, 3, n) for s, n in PARTS.items()}
    config = small(
        dataset=npz(tmp_path / "a.npz", **ids, **labels),
        model="brought:words",
        optimizer="SGD",
        lr=0.1,
        batch_size=8,
        shuffle=False,
        limit=40,
        device="cpu",
    )
    result = train_stage(config, 1, store, tmp_path).result

    torch.manual_seed(config.seed)
    model, total = words(3), 0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    inputs, targets = (
        torch.tensor(ids["test_images"].astype(int)),
        torch.tensor(labels["test_labels"]),
    )
    for start in range(0, 40, 8):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs[start : start + 8]), targets[start : start + 8])
        loss.backward()
        optimizer.step()
        total += loss.item()
    assert result.values["running_loss"] == total


def whole() -> dict[str, object]:
    """The numbered arrays and something else, as a user's function may give them."""
    given = numbered()
    tensors = {name: torch.from_numpy(given[name]) for name in given if "train" in name}
    return {**given, **tensors, "test_labels": given["test_labels"].tolist(), "names": ["a", "b"]}


def a_list() -> list[np.ndarray]:
    """The arrays without names."""
    return list(numbered().values())


def some() -> dict[str, np.ndarray]:
    """Half of the arrays."""
    return {name: array for name, array in numbered().items() if "train" in name}


def ragged() -> dict[str, object]:
    """Labels that are no array."""
    return {**numbered(), "test_labels": [[1, 2], [3]]}


def broken() -> dict[str, np.ndarray]:
    """A user's mistake."""
    raise ZeroDivisionError("division by zero")


def demanding(path: str) -> dict[str, np.ndarray]:
    """A function that takes something."""
    raise AssertionError(path)


def test_what_a_function_gives_is_taken_like_a_file(tmp_path: Path) -> None:
    """Lists and tensors are arrays too, and further names do not matter."""
    got, file = call("test_own_arrays:whole"), read_npz(Path(npz(tmp_path / "a.npz")))
    assert got.digests() == file.digests()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (a_list, "must return arrays by name, but returned list."),
        (some, "must hold train_images, train_labels, test_images, test_labels, but holds "
         "train_images, train_labels."),
        (ragged, "must return plain arrays, but: setting an array element"),
        (broken, "must return arrays by name, but: ZeroDivisionError: division by zero."),
        (demanding, "must return arrays by name, but: TypeError: demanding() missing 1 required"),
        (IMAGES, "must return arrays by name, but: TypeError: 'numpy.ndarray' object is not"),
    ],
)  # fmt: skip
def test_a_function_that_gives_no_data_set_is_an_error(
    function: Callable[..., object], message: str
) -> None:
    """Whatever a user's function does, one line names it and says what it must give."""
    name = "IMAGES" if function is IMAGES else function.__name__
    with pytest.raises(DataError) as caught:
        call(f"test_own_arrays:{name}")
    assert str(caught.value).startswith(f"test_own_arrays:{name}() {message}")


def test_a_function_that_is_not_there_is_an_error() -> None:
    """A misspelt name is told from those of its module."""
    with pytest.raises(ConfigError, match="did you mean 'whole'"):
        call("test_own_arrays:hole")
