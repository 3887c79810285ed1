"""Data sets that torchvision fetches: from their homes, or out of files put there by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.arrays import Arrays, say
from trainer.data.download import patiently, scratch
from trainer.data.own_arrays import check
from trainer.errors import DataError

NAMES = {"cifar100": "CIFAR100", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
"""Torchvision's names by ours."""

BY_HAND = "downloads"
"""Where in the folder of all data sets it is looked for files that were put there."""


def download(source: Any, root: Path) -> None:
    """Have torchvision fill `root`.

    Raises:
        DataError: its home cannot be reached.
    """
    homes = (
        [f"{mirror}{source.resources[0][0]}" for mirror in source.mirrors]
        if hasattr(source, "mirrors")
        else [source.url]
    )
    for home in homes:
        try:
            with patiently(home), warnings.catch_warnings(action="ignore"):
                say(f"Downloading {source.__name__} from its home.")
                source(root, download=True)  # numpy warns at Python 2's pickles
        except DataError as error:
            failure = error
        else:
            return
    raise failure


def source_of(name: str) -> Any:
    """Torchvision's class for one of `NAMES`."""
    from torchvision import datasets

    return getattr(datasets, NAMES[name])


def fetch(source: Any, folder: Path, get: Callable[[Any, Path], None] = download) -> Arrays:
    """The data set from files in `folder`/downloads, else from its home; run by one process.

    Args:
        source: torchvision's class.
        folder: where downloads go, into a temporary folder that is removed.
        get: fills a folder as torchvision does, or raises DataError.

    Raises:
        DataError: the home cannot be reached, and says which files to put where; or files that
            were put there are damaged.
    """
    by_hand = folder / BY_HAND
    archives, unpacked = _files(source, by_hand)
    if all(path.exists() for path in archives) or all(path.exists() for path in unpacked):
        return read(source, by_hand, archives)
    with scratch(folder) as temporary:
        try:
            get(source, temporary)
        except DataError as error:
            raise DataError(
                f"{source.__name__} could not be had from its home: {str(error).rstrip('.')}. Put "
                f"{', '.join(path.name for path in archives)} into {next(iter(archives)).parent} "
                "and start again, or use `--dataset digits`, which needs no download."
            ) from error
        return read(source, temporary, {})


def read(source: Any, root: Path, archives: dict[Path, str]) -> Arrays:
    """What `root` holds.

    Args:
        source: torchvision's class.
        root: its folder.
        archives: MD5 of the files that torchvision unpacks, where these are there.

    Raises:
        DataError: a file is damaged.
    """
    from torchvision.datasets.utils import check_integrity

    there = {path: md5 for path, md5 in archives.items() if path.exists()}
    for path, md5 in there.items():
        if not check_integrity(path, md5):
            raise DataError(f"{path} must have the MD5 {md5}, but has another; put it there again.")
    got: dict[str, Any] = {}
    try:
        for part in ("train", "test"):
            with warnings.catch_warnings(action="ignore"):
                given = source(root, train=part == "train", download=bool(there))
            images = np.ascontiguousarray(given.data)
            got[f"{part}_images"] = images if images.ndim == 4 else images[..., None]
            got[f"{part}_labels"] = np.asarray(given.targets)
    except Exception as error:  # damaged bytes make torchvision raise nearly anything
        raise DataError(f"{root} must hold a whole {source.__name__}, but: {error!r}.") from error
    return check(got, [], str(root))


def _files(source: Any, root: Path) -> tuple[dict[Path, str], list[Path]]:
    """Where torchvision has the archives, with their MD5, and what it unpacks from them."""
    if hasattr(source, "resources"):
        place = root / source.__name__ / "raw"
        archives = {place / name: md5 for name, md5 in source.resources}
        return archives, [path.with_suffix("") for path in archives]
    names = [name for name, _ in (*source.train_list, *source.test_list)]
    place = root / source.base_folder
    return {root / source.filename: source.tgz_md5}, [place / name for name in names]
