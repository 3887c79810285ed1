"""A folder of images with a subfolder for each class, as in torchvision's ImageFolder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.data.arrays import Arrays, say
from trainer.data.resize import allocate, fit
from trainer.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Torchvision's image extensions, copied since importing torchvision is slow."""

TESTS = ("test", "val", "valid")
EVERY = 6
"""Without a folder of test images, each sixth image of a class is one."""

Labelled = tuple[Path, int]


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Paths and labels of the images in a folder, none of them read yet.

    Attributes:
        root: the folder.
        train: path and class index of each training image.
        test: path and class index of each test image.
    """

    root: Path
    train: tuple[Labelled, ...]
    test: tuple[Labelled, ...]

    def fingerprint(self, image_size: int | None) -> str:
        """Hash of `image_size` and of each image's name, size and modification time."""
        total = hashlib.sha256(f"{image_size}".encode())
        for path, _ in (*self.train, *self.test):
            facts = path.stat()
            name = os.fsencode(path.relative_to(self.root))
            total.update(name + f"\0{facts.st_size} {facts.st_mtime_ns}\0".encode())
        return total.hexdigest()[:16]


def find_images(root: Path) -> ImageFolder:
    """Find the images in `root`/train/CLASS and `root`/test/CLASS, or else in `root`/CLASS.

    The test folder may also be named val or valid; the first that exists is used. Without train
    and test, each sixth image of a class, sorted by name, is a test image. Classes are numbered in
    the order of their names. Subfolders of a class are searched, hidden files are skipped.

    Each part interleaves the classes evenly, so that its first N or last N images contain all
    classes in proportion; within a class, images are sorted by name.

    Raises:
        DataError: the folder has another structure.
    """
    if not root.is_dir():
        raise DataError(f"A data set must be a folder of images, but there is no folder {root}.")
    split = [name for name in ("train", *TESTS) if _folders(root / name)]
    if not split:
        classes = [_images(folder) for folder in _folders(root)]
        if not classes:
            raise DataError(
                f"{root} must hold a folder for each class, or train and test with a folder for "
                "each class, but holds no folder."
            )
        train = [[p for n, p in enumerate(paths, 1) if n % EVERY] for paths in classes]
        test = [paths[EVERY - 1 :: EVERY] for paths in classes]
        if not any(test):
            raise DataError(
                f"{root} must have {EVERY} images in a class, as each sixth is a test image, but "
                f"has {max(map(len, classes))} at most; or sort them into train and test."
            )
        return ImageFolder(root=root, train=_mixed(train), test=_mixed(test))

    if split[0] != "train" or len(split) == 1:
        missing = " or ".join(TESTS) if split[0] == "train" else "train"
        raise DataError(
            f"{root} must have classes in {missing} too, but has them in {split[0]} only."
        )
    parts = {name: {f.name: _images(f) for f in _folders(root / name)} for name in split[:2]}
    for here, there in (split[:2], split[1::-1]):
        for name in parts[here]:
            if name not in parts[there]:
                raise DataError(
                    f"Classes of {root} must be the same in {split[0]} and {split[1]}, but only "
                    f"{here} has {name!r}."
                )
    train, test = (list(classes.values()) for classes in parts.values())
    return ImageFolder(root=root, train=_mixed(train), test=_mixed(test))


def read(images: ImageFolder, image_size: int | None, folder: Path) -> Arrays:
    """Read all images as RGB.

    Args:
        images: paths and labels.
        image_size: height and width in pixels to resize to; None: all must have the same size.
        folder: holds the temporary files that back the arrays.

    Raises:
        DataError: an image cannot be read, or differs in size from the first.
    """
    say(f"Reading {len(images.train) + len(images.test)} images of {images.root}.")
    example = images.train[0][0]
    shape = _pixels(example, image_size).shape

    def part(labelled: Sequence[Labelled]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        made = allocate((len(labelled), *shape), folder)

        def put(number: int) -> None:
            path = labelled[number][0]
            pixels = _pixels(path, image_size)
            if pixels.shape != shape:
                (height, width), (high, wide) = shape[:2], pixels.shape[:2]
                raise DataError(
                    f"Images of {images.root} must have one size, but {example} is {width} pixels "
                    f"wide and {height} high, and {path} is {wide} wide and {high} high; resize "
                    "them with --image-size."
                )
            made[number] = pixels

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(put, range(len(labelled))):  # raises the first error
                pass
        return made, np.array([label for _, label in labelled], np.int64)

    return Arrays(*part(images.train), *part(images.test))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(folders, key=lambda path: path.name)


def _images(folder: Path) -> list[Path]:
    """Images of a class in torchvision's order; symbolic links are followed."""
    found = [
        Path(place, name)
        for place, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(EXTENSIONS) and name[0] != "."
    ]
    if not found:
        raise DataError(
            f"{folder} must hold images ({', '.join(EXTENSIONS)}) of a class, but holds none."
        )
    return found


def _mixed(classes: Sequence[Sequence[Path]]) -> tuple[Labelled, ...]:
    """Interleave the classes: sort images by their relative position within their class."""
    placed = [
        ((2 * number + 1) / (2 * len(paths)), label, path)
        for label, paths in enumerate(classes)
        for number, path in enumerate(paths)
    ]
    return tuple((path, label) for _, label, path in sorted(placed, key=lambda item: item[:2]))


def _pixels(path: Path, image_size: int | None) -> NDArray[np.uint8]:
    """H x W x 3."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode = image.mode
            colours = image.convert("RGB")
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        raise DataError(f"{path} must be a readable image, but: {error}.") from error
    if mode.startswith(("I", "F")):  # Pillow would clip values at 255
        raise DataError(f"{path} must have 8 bits per channel, but has Pillow's mode {mode!r}.")
    return np.asarray(colours if image_size is None else fit(colours, image_size))
