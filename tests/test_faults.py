"""Bad days of a machine, really done to a sweep: afterwards the table is that of a good day."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import Process
from pathlib import Path

import pandas as pd
import pytest
from processes import call, finish, start, sweep
from test_run import WHEN, WHERE, command

from sweeps.report.reading.frames import load_study

Table = list[pd.DataFrame]
LOCKED_SECONDS = 20.0
CLOCK = """
import time

from sweeps.run import main as run

real, began = time.time, time.time()


def jumping():
    passed = real() - began
    return real() + (86400 if 2 < passed < 5 else -86400 if 5 <= passed < 7 else 0)


def main(argv):
    time.time = jumping
    return run(argv)
"""

pytestmark = pytest.mark.slow


def tables(database: Path, *studies: str) -> Table:
    """What MLflow shows of the studies, but for when and where they were trained."""
    return call(_tables, f"sqlite:///{database}", studies)


def _tables(uri: str, studies: Sequence[str]) -> Table:
    found = [load_study(study, uri) for study in studies]
    frames = [frame for it in found for frame in (it.trials, it.curves)]
    return [frame.drop(columns=[*WHEN, *WHERE], errors="ignore") for frame in frames]


def assert_same(got: Table, wanted: Table) -> None:
    """To the bit."""
    for one, other in zip(got, wanted, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.fixture(scope="module")
def good(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample: Path
) -> tuple[list[str], Table]:
    """A command, and what it leaves on a good day."""
    folder, words = tmp_path_factory.mktemp("good"), command(sample, "--study", "s")
    shutil.copy(empty_database, folder / "mlflow.db")
    assert sweep(folder, words).status == 0
    return words, tables(folder / "mlflow.db", "s")


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """A working folder with an empty database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def wait_for(condition: Callable[[], object], process: Process) -> None:
    """Until it holds, or the process has ended."""
    while process.is_alive() and not condition():
        time.sleep(0.05)


def test_a_database_that_is_locked_for_a_while(good: tuple[list[str], Table], folder: Path) -> None:
    """As by a backup, or by somebody's open transaction; training goes on meanwhile."""
    words, wanted = good
    process = start(folder, words)
    wait_for(lambda: [*folder.glob("mlruns/stages/results/*/*")], process)
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(LOCKED_SECONDS)
        database.rollback()
    ended = finish(folder, process)
    assert ended.status == 0, ended.output
    assert_same(tables(folder / "mlflow.db", "s"), wanted)


def test_a_machine_that_sleeps(good: tuple[list[str], Table], folder: Path) -> None:
    """Twice, all processes at once."""
    words, wanted = good
    process = start(folder, words)
    wait_for(lambda: [*folder.glob("mlruns/stages/results/*/*")], process)
    assert process.pid is not None
    for _ in range(2):
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(process.pid, signal.SIGCONT)
        time.sleep(0.5)
    ended = finish(folder, process)
    assert ended.status == 0, ended.output
    assert_same(tables(folder / "mlflow.db", "s"), wanted)


def test_a_clock_that_jumps(good: tuple[list[str], Table], folder: Path) -> None:
    """A day ahead, then two back, then right again."""
    words, wanted = good
    (folder / "jumping.py").write_text(CLOCK)
    ended = finish(folder, start(folder, words, module="jumping"))
    assert ended.status == 0, ended.output
    assert_same(tables(folder / "mlflow.db", "s"), wanted)


def test_two_sweeps_and_a_reader_at_the_same_time(
    good: tuple[list[str], Table], folder: Path
) -> None:
    """In one folder, over the same epochs."""
    words, wanted = good
    other = [{"s": "t"}.get(word, word) for word in words]
    processes = []
    for name, argv in (("first", words), ("second", other)):
        (folder / name).mkdir()  # of its output
        argv = [*argv, "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
        stages = ["--stages", str(folder / "stages"), "--data-dir", str(folder / "dataset")]
        processes.append((folder / name, start(folder / name, [*argv, *stages])))
    while any(process.is_alive() for _, process in processes):
        with closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as database:
            database.execute("SELECT COUNT(*) FROM metrics").fetchone()
    for where, process in processes:
        ended = finish(where, process)
        assert ended.status == 0, ended.output
    trained_by = ["trained_epochs", "reused_epochs", "retrained_epochs", "reused", "trained_for"]
    for study in ("s", "t"):
        got = tables(folder / "mlflow.db", study)
        assert_same(
            [it.drop(columns=trained_by, errors="ignore") for it in got],
            [it.drop(columns=trained_by, errors="ignore") for it in wanted],
        )


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of that size in the place of the folder; the function gives it other options."""
    folder.mkdir(parents=True)
    made = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(made, check=False, capture_output=True).returncode:
        pytest.skip("Only a user who may mount a file system can fill a small one.")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("place", "size"),
    [("mlruns/stages", "300k"), ("mlruns/studies", "16k"), ("mlruns/sweeps", "300k"), ("db", "1m")],
)
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_disk_that_cannot_be_written(
    fault: str, place: str, size: str, good: tuple[list[str], Table], folder: Path
) -> None:
    """At each of the four writers: one line says so; later the same command goes on."""
    words, wanted = good
    with small_disk(folder / place, size) as remount:
        if place == "db":
            shutil.move(folder / "mlflow.db", folder / "db")
            remount("size=1200k")
        if fault == "read-only":
            remount("ro,size=100m")
        database = folder / ("db/mlflow.db" if place == "db" else "mlflow.db")
        argv = [*words, "--tracking-uri", f"sqlite:///{database}"]
        ended = sweep(folder, argv)
        assert ended.status == 1, ended.output
        assert "Traceback" not in ended.output
        assert "error:" in ended.output.splitlines()[-1]
        remount("rw,size=100m")
        ended = sweep(folder, argv)
        assert ended.status == 0, ended.output
        assert_same(tables(database, "s"), wanted)
