"""The journal heals what a dying writer leaves."""

import fcntl
import os
import subprocess
from pathlib import Path

import optuna
import pytest
from samples import disk_that_is_full_after

from sweeps.errors import SweepError
from sweeps.study import journal
from sweeps.study.journal import HealingLock, cut_torn_line, journal_storage


def some_study(path: Path) -> optuna.Study:
    """A study in the journal `path`."""
    storage = journal_storage(path)
    return optuna.create_study(study_name="s", storage=storage, load_if_exists=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"one\n", b"one\n"),
        (b"one\ntw", b"one\n"),
        (b"half", b""),
        (b"one\n" + b"x" * 200_000, b"one\n"),
    ],
)
def test_a_file_is_cut_back_to_its_last_newline(
    before: bytes, after: bytes, tmp_path: Path
) -> None:
    """Whole lines stay, half a line goes, however long it is."""
    path = tmp_path / "file"
    path.write_bytes(before)
    cut_torn_line(path)
    assert path.read_bytes() == after


def test_a_study_whose_last_write_was_torn_anywhere_goes_on(tmp_path: Path) -> None:
    """Wherever the last write was cut off, the trials before it are there and another is taken."""
    path = tmp_path / "studies" / "s.journal"
    study = some_study(path)
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for end in range(start, len(whole), 7):
        path.write_bytes(whole[:end])
        again = some_study(path)
        assert again.get_trials()[0].value == 1.0
        again.tell(again.ask(), 3.0)
        assert some_study(path).get_trials()[-1].value == 3.0


@pytest.mark.parametrize("damage", [b"\x00" * 20, b'{"op_code": 5, "wor', b"\xff\xfe"])
def test_a_line_that_is_damaged_in_the_middle_is_told_with_the_way_on(
    damage: bytes, tmp_path: Path
) -> None:
    """What the message says to run leaves a study that goes on from there."""
    path = tmp_path / "s.journal"
    study = some_study(path)
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    lines = path.read_bytes().splitlines(keepends=True)
    at = len(lines) - 2
    path.write_bytes(b"".join([*lines[:at], damage + b"\n", *lines[at + 1 :]]))
    with pytest.raises(SweepError, match=f"Line {at + 1} of .* must be JSON") as caught:
        journal_storage(path)
    subprocess.run(str(caught.value).rpartition(": ")[2], shell=True, check=True, cwd=tmp_path)
    again = some_study(path)
    assert again.get_trials()[0].value == 1.0
    again.tell(again.ask(), 3.0)


def test_a_lock_whose_holder_died_is_free(tmp_path: Path) -> None:
    """The lock's file that a dead process leaves does not keep anybody out."""
    path = tmp_path / "s.journal"
    some_study(path)
    assert path.with_suffix(".lock").exists()
    assert len(some_study(path).get_trials()) == 0


def test_an_interrupt_within_the_lock_leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the process would wait for itself when it cleans up."""

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    lock = HealingLock(tmp_path / "s.journal")
    with monkeypatch.context() as patched:
        patched.setattr(journal, "cut_torn_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire()
    other = os.open(tmp_path / "s.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is held
    os.close(other)


def test_a_full_disk_is_one_line_and_the_study_goes_on_afterwards(tmp_path: Path) -> None:
    """Wherever in a record the disk became full, in this process or in a later one."""
    path = tmp_path / "s.journal"
    study = some_study(path)
    study.tell(study.ask(), 1.0)
    for room in (0, 10):
        with (
            disk_that_is_full_after(path.stat().st_size + room),
            pytest.raises(SweepError, match=r"journal .*s\.journal must be writable, but: .+"),
        ):
            study.ask()
        for later in (study, some_study(path)):
            later.tell(later.ask(), 2.0)
    assert [trial.value for trial in some_study(path).get_trials()] == [1.0, *[2.0] * 4]


def test_a_journal_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """As where a file is in the place of its folder."""
    (tmp_path / "studies").write_text("a file")
    with pytest.raises(SweepError, match="must be writable, but"):
        journal_storage(tmp_path / "studies" / "s.journal")
