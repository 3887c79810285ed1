"""Data sets downloaded by torchvision, or read from files that the user downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.arrays import Arrays, say
from trainer.data.download import limit_waiting, temporary_folder
from trainer.data.own_arrays import check
from trainer.errors import DataError

NAMES = {"cifar100": "CIFAR100", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
"""Names of torchvision's classes by our names."""

BY_HAND = "downloads"
"""Subfolder of the data folder for files that the user downloaded."""


def download(source: Any, root: Path) -> None:
    """Download a data set into `root` with torchvision, from the first mirror that works.

    Raises:
        DataError: no mirror can be reached.
    """
    homes = (
        [f"{mirror}{source.resources[0][0]}" for mirror in source.mirrors]
        if hasattr(source, "mirrors")
        else [source.url]
    )
    for home in homes:
        try:
            with limit_waiting(home), warnings.catch_warnings(action="ignore"):
                say(f"Downloading {source.__name__} from its home.")
                source(root, download=True)  # numpy warns about Python 2's pickles
        except DataError as error:
            failure = error
        else:
            return
    raise failure


def dataset_class(name: str) -> Any:
    """Torchvision's class for one of `NAMES`."""
    from torchvision import datasets

    return getattr(datasets, NAMES[name])


def fetch(source: Any, folder: Path, get: Callable[[Any, Path], None] = download) -> Arrays:
    """Read a data set from `folder`/downloads if its files are there, else download it.

    Only one process at a time may call this for a folder.

    Args:
        source: torchvision's class.
        folder: data folder; downloads use a temporary folder in it.
        get: downloads into a folder as torchvision does, or raises DataError.

    Raises:
        DataError: the download fails (the message names files to get by hand), or a file is
            damaged.
    """
    by_hand = folder / BY_HAND
    archives, unpacked = _files(source, by_hand)
    if all(path.exists() for path in archives) or all(path.exists() for path in unpacked):
        return read(source, by_hand, archives)
    with temporary_folder(folder) as temporary:
        try:
            get(source, temporary)
        except DataError as error:
            raise DataError(
                f"{source.__name__} could not be downloaded: {str(error).rstrip('.')}. Put "
                f"{', '.join(path.name for path in archives)} into {next(iter(archives)).parent} "
                "and start again, or use `--dataset digits`, which needs no download."
            ) from error
        return read(source, temporary, {})


def read(source: Any, root: Path, archives: dict[Path, str]) -> Arrays:
    """Read a data set with torchvision from `root`.

    Args:
        source: torchvision's class.
        root: its folder.
        archives: path and MD5 of archives to unpack first; those that do not exist are skipped.

    Raises:
        DataError: a file is damaged.
    """
    from torchvision.datasets.utils import check_integrity

    there = {path: md5 for path, md5 in archives.items() if path.exists()}
    for path, md5 in there.items():
        if not check_integrity(path, md5):
            raise DataError(f"{path} must have the MD5 {md5}, but does not; download it again.")
    got: dict[str, Any] = {}
    try:
        for part in ("train", "test"):
            with warnings.catch_warnings(action="ignore"):
                given = source(root, train=part == "train", download=bool(there))
            images = np.ascontiguousarray(given.data)
            got[f"{part}_images"] = images if images.ndim == 4 else images[..., None]
            got[f"{part}_labels"] = np.asarray(given.targets)
    except Exception as error:  # damaged bytes make torchvision raise nearly anything
        raise DataError(
            f"{root} must hold a complete {source.__name__}, but: {error!r}."
        ) from error
    return check(got, [], str(root))


def _files(source: Any, root: Path) -> tuple[dict[Path, str], list[Path]]:
    """Torchvision's archives with their MD5, and the files it unpacks from them."""
    if hasattr(source, "resources"):
        place = root / source.__name__ / "raw"
        archives = {place / name: md5 for name, md5 in source.resources}
        return archives, [path.with_suffix("") for path in archives]
    names = [name for name, _ in (*source.train_list, *source.test_list)]
    place = root / source.base_folder
    return {root / source.filename: source.tgz_md5}, [place / name for name in names]
