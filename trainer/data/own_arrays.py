"""The user's own arrays, from an `.npz` or a function, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.arrays import ARRAYS, Arrays
from trainer.errors import DataError
from trainer.settings.references import find, restore_globals


def read_npz(path: Path) -> Arrays:
    """Read and validate the four arrays of an `.npz`.

    Raises:
        DataError: the file does not exist, or is invalid.
    """
    if not path.exists():
        raise DataError(f"A data set must be a file, but there is no {path}.")
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            names = sorted(file.files)
            got = {name: np.ascontiguousarray(file[name]) for name in ARRAYS if name in names}
    except Exception as error:  # damaged bytes make numpy and zipfile raise nearly anything
        raise DataError(f"{path} must be an .npz of plain arrays, but: {error}.") from error
    return check(got, names, str(path))


def call(reference: str) -> Arrays:
    """Call the user's function without arguments and validate the arrays it returns by name.

    Raises:
        ConfigError: the function does not exist.
        DataError: it raises, or returns something else.
    """
    make = find("dataset", reference)
    try:
        with restore_globals():
            given = make()
    except Exception as error:  # a user's function can raise anything
        raise DataError(
            f"{reference}() must return arrays by name, but: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(given, Mapping):
        raise DataError(
            f"{reference}() must return arrays by name, but returned {type(given).__name__}."
        )
    try:
        got = {name: np.ascontiguousarray(given[name]) for name in ARRAYS if name in given}
    except Exception as error:  # ragged lists, tensors on a GPU
        raise DataError(f"{reference}() must return plain arrays, but: {error}.") from error
    return check(got, sorted(map(str, given)), f"{reference}()")


def check(got: Mapping[str, NDArray[Any]], names: list[str], where: str) -> Arrays:
    """Validate four arrays; convert class labels and indices to int64, floats to float32.

    Args:
        got: the arrays found, by name.
        names: all names in the source, for the error message.
        where: the source, for the error message.

    Raises:
        DataError: an array is missing or has a wrong type, shape or value.
    """
    if len(got) < len(ARRAYS):
        raise DataError(f"{where} must hold {', '.join(ARRAYS)}, but holds {', '.join(names)}.")
    right: dict[str, NDArray[Any]] = {}
    for source in ("train", "test"):
        images, labels = f"{source}_images", f"{source}_labels"
        right[images] = _inputs(got[images], f"{images} in {where}")
        right[labels] = _labels(got[labels], len(right[images]), f"{labels} in {where}")
    for kind in ("images", "labels"):
        train, test = (_form(right[f"{source}_{kind}"]) for source in ("train", "test"))
        if train != test:
            raise DataError(
                f"{kind.capitalize()} in {where} must be of one type and shape, but are {train} "
                f"(train) and {test} (test)."
            )
    return Arrays(**right)


def _inputs(got: NDArray[Any], what: str) -> NDArray[Any]:
    images = got.dtype == np.uint8 and got.ndim == 4
    indices = got.dtype.kind in "iu" and got.ndim == 2
    if not (images or indices or (got.dtype.kind == "f" and got.ndim >= 2)) or got.size == 0:
        raise DataError(
            f"{what} must be uint8, N x H x W x C, or float32, N x ..., or integers, N x L, and "
            f"not empty, but is {got.dtype} of shape {got.shape}."
        )
    if indices:
        return got.astype(np.int64)
    return got if images else _float32(got, what)


def _labels(got: NDArray[Any], count: int, what: str) -> NDArray[Any]:
    if got.dtype.kind in "iu" and got.shape == (count,):
        labels = got.astype(np.int64)
        if labels.min() < 0:
            raise DataError(f"{what} must be class indices from 0, but has {labels.min()}.")
        return labels
    if got.dtype.kind == "f" and got.shape[:1] == (count,) and got.ndim in (1, 2) and got.size:
        return _float32(got, what).reshape(count, -1)  # shape N would broadcast against N x 1
    raise DataError(
        f"{what} must be {count} integers, one per image, or targets, float32 of shape "
        f"({count},) or ({count}, K), but is {got.dtype} of shape {got.shape}."
    )


def _float32(got: NDArray[Any], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # overflow raises below
        narrow = got.astype(np.float32)
    finite = np.isfinite(narrow)
    if not finite.all():
        place = tuple(map(int, np.argwhere(~finite)[0]))
        raise DataError(f"{what} must be finite as float32, but has {got[place]} at {place}.")
    return narrow


def _form(array: NDArray[Any]) -> str:
    """Type and shape of one example, for messages."""
    shape = array.shape[1:]
    return f"{array.dtype} of shape {shape}" if shape else str(array.dtype)
