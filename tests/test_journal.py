"""The journal heals what a dying writer leaves."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

import optuna
import pytest
from damage import Damage, damages
from hypothesis import given
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from samples import disk_that_is_full_after

from sweeps.errors import SweepError
from sweeps.study import journal
from sweeps.study.journal import cut_torn_line, journal_storage


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
    with path.open("ab+") as file:
        cut_torn_line(file)
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


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[str]]:
    """A journal of some trials, and what a study has after each of its lines."""
    path = tmp_path_factory.mktemp("intact") / "s.journal"
    study = some_study(path)
    for number in range(3):
        trial = study.ask({"lr": FloatDistribution(1e-4, 1.0, log=True)})
        trial.report(0.1 * number, step=1)
        trial.set_user_attr("run", f"ü{number}")
        study.tell(trial, 0.3 * number)
    whole = path.read_bytes()
    ends = [0, *(at + 1 for at, byte in enumerate(whole) if byte == ord("\n"))]
    after = []
    for end in ends:
        path.write_bytes(whole[:end])
        after.append(content(path))
    assert len(set(after)) > 10
    return whole, after


def content(path: Path) -> str:
    """All that the journal's studies hold."""
    storage = journal_storage(path)
    studies = storage.get_all_studies()
    return repr([(vars(it), storage.get_all_trials(it._study_id)) for it in studies])


@given(damage=damages())
def test_damage_anywhere_is_told_or_loses_the_end_and_never_changes_a_number(
    damage: Damage, intact: tuple[bytes, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the message says to run leaves a study that resumes from there, and the old file."""
    whole, after = intact
    path = tmp_path_factory.mktemp("d'amaged") / "s.journal"
    path.write_bytes(blob := damage(whole))
    try:
        assert content(path) in after
    except SweepError as error:
        said = str(error)
        assert re.match(r"Line \d+ of .* must be a record of Optuna's, but is damaged", said)
        subprocess.run(said.rpartition("looked up: ")[2], shell=True, check=True)
        assert content(path) in after
        assert f"The {len(some_study(path).get_trials())} trials before it" in said
        assert Path(f"{path}.damaged").read_bytes() == blob
    study = some_study(path)
    study.tell(study.ask(), 3.0)
    assert some_study(path).get_trials()[-1].value == 3.0


@pytest.mark.parametrize("line", [b"null", b'{"op_code": 4}', b'{"op_code": 40, "worker_id": "x"}'])
def test_json_that_is_no_record_is_told_too(line: bytes, tmp_path: Path) -> None:
    """As damage leaves it in a line that Optuna's own backend wrote, which has no checksum."""
    path = tmp_path / "s.journal"
    some_study(path).ask()
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:-1], line, lines[-1], b""]))
    with pytest.raises(SweepError, match=f"Line {len(lines)} of .* is damaged"):
        journal_storage(path)


def test_damage_that_comes_while_a_study_is_open_is_told_by_the_next_use(tmp_path: Path) -> None:
    """Whoever reads the line first says so."""
    path = tmp_path / "s.journal"
    study = some_study(path)
    size = path.stat().st_size
    some_study(path).ask()
    blob = bytearray(path.read_bytes())
    blob[size + 20] ^= 1
    path.write_bytes(blob)
    with pytest.raises(SweepError, match="must be a record of Optuna's, but is damaged"):
        study.ask()


def test_optunas_own_backend_reads_and_extends_a_journal(tmp_path: Path) -> None:
    """Its dashboard, for one."""
    path = tmp_path / "s.journal"
    some_study(path).ask()
    storage = JournalStorage(JournalFileBackend(str(path)))
    theirs = optuna.load_study(study_name="s", storage=storage)
    theirs.tell(0, 2.0)
    theirs.ask()
    assert [trial.value for trial in some_study(path).get_trials()] == [2.0, None]


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

    def interrupted(file: object) -> None:
        raise KeyboardInterrupt

    study = some_study(tmp_path / "s.journal")
    with monkeypatch.context() as patched:
        patched.setattr(journal, "cut_torn_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study.ask()
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
