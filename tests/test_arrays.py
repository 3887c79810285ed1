import threading
from pathlib import Path

import numpy as np
import pytest
from samples import numbered

from trainer.data.arrays import ARRAYS, Arrays, ensure_arrays, open_arrays
from trainer.errors import DataError


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
        ensure_arrays(tmp_path / "own", make)
    assert make.calls == 1
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == [
        "meta.json",
        "test-images.npy",
        "test-labels.npy",
        "train-images.npy",
        "train-labels.npy",
    ]
    kept, meta = open_arrays(tmp_path / "own")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(kept, name), numbered()[name])
        assert isinstance(getattr(kept, name), np.memmap)
    assert (meta.classes, meta.sha256) == (7, Arrays(**numbered()).digests())


def test_half_written_arrays_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    """A temporary file, of hundreds of megabytes perhaps, that nobody else would ever delete."""
    (tmp_path / "own").mkdir()
    half = tmp_path / "own" / "train-images.npy.0123.tmp"
    half.write_bytes(b"half")
    ensure_arrays(tmp_path / "own", Maker())
    assert not half.exists()
    assert len(list((tmp_path / "own").iterdir())) == len(ARRAYS) + 1


def test_inputs_and_targets_of_a_regression_are_kept_as_they_are(tmp_path: Path) -> None:
    """Arrays of float32 come back with their bits, and `classes` is the number of targets."""
    draw = np.random.default_rng(0)
    own = Arrays(*(draw.random(shape, np.float32) for shape in ((6, 5), (6, 2), (3, 5), (3, 2))))
    ensure_arrays(tmp_path / "own", lambda: own)
    kept, meta = open_arrays(tmp_path / "own")
    for name in ARRAYS:
        assert getattr(kept, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(kept, name), getattr(own, name))
    assert (own.classes, meta.classes) == (2, 2)


@pytest.mark.parametrize("name", ["test-images.npy", "train-labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["flipped", "half", "empty", "gone"])
def test_a_damaged_file_is_found_said_and_made_again(
    tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever happened to a prepared file, the next start makes it whole."""
    make = Maker()
    ensure_arrays(tmp_path / "own", make)
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
    ensure_arrays(tmp_path / "own", make)
    assert make.calls == 2
    assert path.read_bytes() == content
    if (name, damage) != ("meta.json", "gone"):  # which is how a folder begins
        assert "is damaged" in capsys.readouterr().err


def test_arrays_other_than_expected_are_made_again(tmp_path: Path) -> None:
    """Where the SHA-256 is known beforehand, arrays that only agree with themselves do not do."""
    other = Arrays(**numbered(train=50))
    ensure_arrays(tmp_path / "own", lambda: other)
    make = Maker()
    ensure_arrays(tmp_path / "own", make, Arrays(**numbered()).digests())
    assert make.calls == 1
    assert len(open_arrays(tmp_path / "own")[0].train_images) == 40


def test_what_was_interrupted_is_not_taken_for_prepared(tmp_path: Path) -> None:
    """Cut off while arrays are made again, the damaged ones are gone."""
    ensure_arrays(tmp_path / "own", Maker())
    (tmp_path / "own" / "test-images.npy").write_bytes(b"")

    class Cut:
        """Arrays whose second half never comes."""

        def __getattr__(self, name: str) -> np.ndarray:
            if name.startswith("test"):
                raise KeyboardInterrupt
            return numbered()[name]

    with pytest.raises(KeyboardInterrupt):
        ensure_arrays(tmp_path / "own", lambda: Cut())  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match="must be prepared"):
        open_arrays(tmp_path / "own")
    ensure_arrays(tmp_path / "own", Maker())
    assert len(open_arrays(tmp_path / "own")[0].test_images) == 20
    assert not list((tmp_path / "own").glob("*.tmp"))


def test_of_many_that_prepare_at_once_one_does_it(tmp_path: Path) -> None:
    """The others wait for it and find everything whole."""
    make, together = Maker(), threading.Barrier(8)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            together.wait()
            ensure_arrays(tmp_path / "own", make)
            open_arrays(tmp_path / "own")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert make.calls == 1


def test_writing_to_opened_arrays_leaves_the_files_alone(tmp_path: Path) -> None:
    """All workers share the files; what one of them changes stays with it."""
    ensure_arrays(tmp_path / "own", Maker())
    open_arrays(tmp_path / "own")[0].test_images[:] = 255
    np.testing.assert_array_equal(
        open_arrays(tmp_path / "own")[0].test_images, numbered()["test_images"]
    )


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The user reads which folder it is, and no traceback."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"own must be a writable folder, but"):
        ensure_arrays(tmp_path / "file" / "own", Maker())
