"""MLflow's database is whole or not there, whatever becomes of the processes that make it."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path

import fresh
import pytest

from trainer.killpoints import VARIABLE
from trainer.tracking.connection import connect

_PATIENCE_SECONDS = 120.0


def open_store(folder: Path, kill_at: str = "") -> None:
    """Be a process of its own group that opens MLflow's store in the folder."""
    os.setsid()
    os.environ[VARIABLE] = kill_at
    connect(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()


def begin(folder: Path, kill_at: str = "") -> BaseProcess:
    """Start it."""
    return fresh.begin(folder / "output.txt", open_store, folder, kill_at)


def wait_for_tables(folder: Path, process: BaseProcess, most: int) -> None:
    """Wait until so many of the tables of a database, whatever its name, are made."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while sum(map(tables, folder.glob("mlflow.db*"))) < most:
        assert process.is_alive(), (folder / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def tables(file: Path) -> int:
    """The number of tables of a database that another process writes; 0 of another file."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.Error:
        return 0


def kill(process: BaseProcess) -> None:
    """End it as `kill -9` does."""
    process.kill()
    process.join()


def test_a_start_that_is_killed_while_the_database_is_made_leaves_none(tmp_path: Path) -> None:
    """At its first table and in its migrations; one that waits makes it, up to the last write."""
    file = tmp_path / "mlflow.db"
    first = begin(tmp_path)
    wait_for_tables(tmp_path, first, 1)
    kill(first)
    assert not file.exists()
    second = begin(tmp_path)
    wait_for_tables(tmp_path, second, 20)
    third = begin(tmp_path, "database-made")
    kill(second)
    assert not file.exists()
    third.join()
    assert third.exitcode == -signal.SIGKILL, (tmp_path / "output.txt").read_text()
    assert not file.exists()
    last = begin(tmp_path)
    last.join()
    assert last.exitcode == 0, (tmp_path / "output.txt").read_text()
    assert sorted(it.name for it in tmp_path.iterdir()) == ["mlflow.db", "output.txt"]


def test_an_empty_file_counts_as_no_database(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite leaves one if a process is killed before its first write."""
    made: list[Path] = []

    def make(file: Path) -> None:
        made.append(file)
        file.write_bytes(empty_database.read_bytes())

    monkeypatch.setattr("trainer.tracking.connection._make_database", make)
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlflow.db.new-journal").touch()
    connect(f"sqlite:///{tmp_path / 'mlflow.db'}").search_experiments()
    assert made == [tmp_path / "mlflow.db.new"]
    assert [it.name for it in tmp_path.iterdir()] == ["mlflow.db"]
