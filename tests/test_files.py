import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from trainer.files import atomic_write, lock_file


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """Nothing half-written stays, whatever ends the writing."""
    path = tmp_path / "a"
    with atomic_write(path) as file:
        file.write(b"one")
    with pytest.raises(TypeError, match="bytes-like"), atomic_write(path) as file:
        file.write("two")  # type: ignore[arg-type]
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def hold(path: Path) -> None:
    """Take the lock, and die with it."""
    with lock_file(path):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lock_ends_with_its_holder_and_says_where_it_waits(tmp_path: Path) -> None:
    """A process that was killed leaves it to the next one; one that lives is waited for."""
    path = tmp_path / ".lock"
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with (
        lock_file(path, lambda: pytest.fail("nobody has it")),
        pytest.raises(InterruptedError),
        lock_file(path, give_up),
    ):
        pytest.fail("two have it")


def give_up() -> None:
    """Wait no longer."""
    raise InterruptedError
