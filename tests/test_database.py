"""The file read directly gives what MLflow's public client gives."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from samples import changed
from studies import START, child, parent, tracker_in, trained

from sweeps.report.reading.database import UnknownTables, open_database
from sweeps.report.reading.frames import StudyFrames, load_study, read_study
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect
from trainer.tracking.names import CONFIRMS_TAG
from trainer.tracking.record import COMPLETE, DIVERGED, FAILED


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Two studies: trials of every kind, values of every kind, epochs twice, a deleted run."""
    folder = tmp_path_factory.mktemp("database")
    uri, tracker = tracker_in(folder, empty_database)
    study, other = parent("digits", "one", START), parent("other", "two", START - 9)
    begun = [
        child(study, number, TrainConfig(lr=0.1 / (number + 1), optimizer_args={"momentum": 0.9}))
        for number in range(6)
    ]
    twice = trained(begun[0], 2.0, 1.0)
    again = replace(twice, results=(twice.results[0], changed(twice.results[1], val_loss=0.5)))
    odd = (math.nan, math.inf, -math.inf, 5e-324, -0.0, 1 / 3)
    records = [
        again.ended(COMPLETE, "val_loss", {}, at=START + 5),
        trained(begun[1], *odd).ended(DIVERGED, "val_loss", {}, at=START + 20),
        begun[2].ended(FAILED, "val_loss", {}, at=START + 21, error="Größe\nFehler: ü"),
        trained(begun[3], 3.0),
        begun[4],
        trained(begun[5], 4.0).ended(COMPLETE, "val_loss", {}, at=START + 60),
    ]
    confirmed = replace(
        child(study, 7, TrainConfig(seed=3)), tags={CONFIRMS_TAG: "0", "sweep.study": "digits"}
    )
    records.append(trained(confirmed, 1.5).ended(COMPLETE, "val_loss", {}, at=START + 70))
    stranger = trained(child(other, 0, TrainConfig()), 9.0)
    for record in (study, other, *records, stranger):
        tracker.sync(record)
    client = tracker.client
    later = round(START * 1000) + 90_000
    client.log_metric(tracker.run_id(begun[0].id), "val_loss", 0.25, timestamp=later, step=2)
    client.log_metric(tracker.run_id(begun[3].id), "val_loss", 7.0, timestamp=later, step=2)
    client.log_metric(tracker.run_id(begun[3].id), "users own", 7.0, timestamp=later, step=1)
    client.delete_run(tracker.run_id(begun[5].id))
    return Path(uri.removeprefix("sqlite:///"))


def by_client(database: Path) -> StudyFrames:
    """The study as MLflow's public client shows it."""
    return read_study(connect(f"sqlite:///{database}"), "digits")


def assert_same(one: StudyFrames, other: StudyFrames) -> None:
    """All three frames are equal to the last bit, and of the same types."""
    for name in ("trials", "curves", "repeats"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)


def test_the_file_and_the_client_give_the_same_frames(database: Path) -> None:
    """NaN, infinities, the smallest number and minus zero included."""
    frames = load_study("digits", f"sqlite:///{database}")
    assert_same(frames, by_client(database))
    curves = frames.curves.set_index(["trial", "epoch"])["val_loss"]
    assert curves[0, 2] == 0.25  # the later one
    assert (3, 2) not in curves  # an epoch that has not its time yet is not there yet
    assert curves[1].tolist()[1:] == [math.inf, -math.inf, 5e-324, 0.0, 1 / 3]
    assert math.isnan(curves[1, 1])
    assert frames.trials["trial"].tolist() == [0, 1, 2, 3, 4]
    assert frames.repeats["value"].tolist() == [1.5]


def test_runs_of_before_their_bookkeeping_moved_are_read(database: Path, tmp_path: Path) -> None:
    """From the file and by the client: the names were others, the frames are the same."""
    older = tmp_path / "mlflow.db"
    shutil.copy(database, older)
    with closing(sqlite3.connect(older)) as writer, writer:
        for table in ("metrics", "latest_metrics"):
            writer.execute(f"UPDATE {table} SET key = replace(key, 'system/', 'epoch/')")
    assert_same(load_study("digits", f"sqlite:///{older}"), by_client(database))
    assert_same(by_client(older), by_client(database))


def test_reading_changes_nothing_and_makes_nothing(database: Path, tmp_path: Path) -> None:
    """Not a byte, not a file beside it, not even where it may be read only."""
    copy = tmp_path / "mlflow.db"
    shutil.copy(database, copy)
    copy.chmod(0o400)
    with open_database(copy) as opened:
        assert len(opened.runs("1", "sweep.group", "one")) == 7
    assert copy.read_bytes() == database.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    with pytest.raises(UnknownTables), open_database(tmp_path / "none.db"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_what_a_writer_has_not_committed_is_not_seen(database: Path, tmp_path: Path) -> None:
    """A sweep may log while it is read."""
    copy = tmp_path / "mlflow.db"
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM metrics")
        assert_same(load_study("digits", f"sqlite:///{copy}"), by_client(database))


def test_a_file_with_other_tables_is_left_to_the_client(database: Path, tmp_path: Path) -> None:
    """A later MLflow may have others; what its client shows is shown."""
    later, text = tmp_path / "later.db", tmp_path / "text.db"
    shutil.copy(database, later)
    with closing(sqlite3.connect(later)) as connection:
        connection.execute("ALTER TABLE metrics RENAME COLUMN is_nan TO is_nothing")
    text.write_text("no database at all, but long enough to be one\n" * 99)
    for path, reason in ((later, "metrics lacks is_nan"), (text, "not a database")):
        with pytest.raises(UnknownTables, match=reason), open_database(path):
            pass
        client = connect(f"sqlite:///{database}")
        assert_same(read_study(client, "digits", database=path), by_client(database))
