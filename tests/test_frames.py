import math
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from sweeps.errors import SweepError, UnknownStudy
from sweeps.frames import (
    CURVE_COLUMNS,
    EXPERIMENT,
    OBJECTIVE_TAG,
    TRIAL_COLUMNS,
    TRIALS_TAG,
    StudyFrames,
    load_curves,
    load_study,
    load_trials,
    read_study,
    study_names,
)
from trainer.config import TrainConfig
from trainer.metrics import EPOCH_METRICS, EpochResult
from trainer.record import COMPLETE, DIVERGED, FAILED, PRUNED, RunRecord, params_of
from trainer.store import StageStore
from trainer.tracking import STUDY_TAG, TRIAL_TAG, MlflowTracker, connect

# MLflow 3.17 on SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
)

START = 1_760_000_000.0
SGD = TrainConfig(lr=0.1, optimizer_args={"momentum": 0.9, "nesterov": True}, limit=50, epochs=3)
ADAM = TrainConfig(
    optimizer="Adam",
    lr=1e-05,
    step_size=2,
    gamma=0.3,
    optimizer_args={"betas": [0.9, 0.99]},
    epochs=3,
)


@dataclass(frozen=True)
class Stored:
    """MLflow's store, and the records that were synced into it."""

    uri: str
    study: RunRecord
    trials: list[RunRecord]


class SmallPages:
    """MLflow's client over a server that gives two runs a page."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def search_runs(self, *args, **settings):
        """Two of the runs, and how to ask for the rest."""
        return self._client.search_runs(*args, **(settings | {"max_results": 2}))


def parent(name, id, started_at, objective="val_loss"):
    """The run of a study."""
    tags = {STUDY_TAG: name, OBJECTIVE_TAG: objective, TRIALS_TAG: "7"}
    return RunRecord(id=id, group=id, name=name, started_at=started_at, tags=tags)


def child(study, number, config):
    """The run of a trial that has just begun."""
    return RunRecord(
        id=f"{study.id}-{number}",
        group=study.group,
        parent=study.id,
        name=f"trial {number}",
        started_at=START + 10 * number,
        params=params_of(config),
        tags={STUDY_TAG: study.name, TRIAL_TAG: str(number)},
    )


def trained(record, *losses, reused=0):
    """The record with an epoch for each loss, the first of them trained for another run."""
    results = tuple(
        EpochResult(
            epoch=epoch,
            running_loss=10 * loss,
            train_loss=loss / 3,
            val_loss=loss,
            val_accuracy=1 / (3 + epoch),
            lr=0.1 / epoch,
            epoch_seconds=1.25,
            images_per_second=1234.5678,
            first_batch_loss=2.3,
            state_digest="0",
            trained_for="another" if epoch <= reused else record.id,
            worker=f"host:{100 + epoch}",
            ended_at=record.started_at + epoch + 0.125,
        )
        for epoch, loss in enumerate(losses, start=1)
    )
    return replace(record, results=results)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A study with a trial of each kind, one set aside, and one without trials."""
    folder = tmp_path_factory.mktemp("frames")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    store = StageStore(folder / "stages")
    tracker = MlflowTracker(uri, EXPERIMENT, str(folder / "artifacts"), store)
    study = parent("digits", "new", START)
    replaced = parent("digits", "old", START - 500)
    begun = [child(study, number, ADAM if number % 2 else SGD) for number in range(7)]
    trials = [
        trained(begun[0], 2.5, 0.1 + 0.2, 1.5).ended(COMPLETE, "val_loss", {}, at=START + 4.5),
        trained(begun[1], 2.0, 1.75, reused=1).ended(PRUNED, "val_loss", {}, at=START + 13),
        trained(begun[2], 2.0, math.nan).ended(DIVERGED, "val_loss", {}, at=START + 23),
        trained(begun[3], math.inf).ended(DIVERGED, "val_loss", {}, at=START + 33),
        trained(begun[4], -math.inf).ended(DIVERGED, "val_loss", {}, at=START + 43),
        begun[5].ended(FAILED, "val_loss", {}, at=START + 51),
        trained(begun[6], 2.0),
    ]
    old_trial = trained(child(replaced, 0, ADAM), 9.0).ended(COMPLETE, "val_loss", {}, at=START)
    others = [parent("older", "other", START - 900), replaced, old_trial]
    # the later trials first: the order of the runs in MLflow means nothing
    for record in (*others, study, *reversed(trials)):
        tracker.sync(record)
    return Stored(uri, study, trials)


@pytest.fixture(scope="module")
def frames(stored):
    """The study, read back."""
    return load_study("digits", stored.uri)


def test_every_epoch_is_read_as_it_was_logged(stored, frames):
    """A curve has each epoch's numbers to the last bit, NaN and infinities included."""
    expected = pd.DataFrame(
        [
            {
                "trial": number,
                "epoch": result.epoch,
                **result.metrics(),
                "reused": record.reused(result),
                "worker": int(result.worker.rpartition(":")[2]),
                "ended_at": pd.Timestamp(result.ended_at, unit="s", tz="UTC"),
            }
            for number, record in enumerate(stored.trials)
            for result in record.results
        ]
    ).astype(CURVE_COLUMNS)
    pd.testing.assert_frame_equal(frames.curves, expected, check_exact=True)
    assert frames.curves["val_loss"].isna().sum() == 1
    assert {math.inf, -math.inf} <= set(frames.curves["val_loss"])


def test_every_trial_is_a_row_with_its_state_and_best_values(stored, frames):
    """A row has what was logged at the trial's end, and nothing where it has no ranking."""
    trials = frames.trials.set_index("trial")
    assert list(trials.index) == list(range(7))
    assert list(trials["state"]) == [record.state for record in stored.trials]
    for number, record in enumerate(stored.trials):
        for name in ("best_val_loss", "best_val_accuracy", "best_running_loss", "best_epoch"):
            if name in record.metrics:
                assert trials.loc[number, name] == record.metrics[name]
            else:
                assert pd.isna(trials.loc[number, name])


def test_a_trial_counts_its_epochs(stored, frames):
    """Epochs logged are those trained for the trial and those reused; a failed one has none."""
    for row, record in zip(frames.trials.itertuples(), stored.trials, strict=True):
        assert row.epochs == len(record.results)
        assert row.reused_epochs == record.reused_epochs
        assert row.trained_epochs == row.epochs - row.reused_epochs
        assert row.asked_epochs == 3


def test_a_trial_has_its_last_epochs_values(stored, frames):
    """val_loss and the like are those of the last epoch, also where that is not a number."""
    for _, row in frames.trials.iterrows():
        results = stored.trials[row["trial"]].results
        for name in ("val_loss", "val_accuracy", "running_loss", "train_loss"):
            last = getattr(results[-1], name) if results else math.nan
            assert row[name] == pytest.approx(last, rel=0, abs=0, nan_ok=True)


def test_a_trial_has_its_time(stored, frames):
    """Seconds are from start to end; what still runs has none."""
    seconds = frames.trials["seconds"].tolist()
    assert seconds[:2] == [4.5, 3.0]
    assert math.isnan(seconds[6])
    starts = [record.started_at for record in stored.trials]
    assert frames.trials["started_at"].map(pd.Timestamp.timestamp).tolist() == starts


def test_parameters_have_their_types(frames):
    """Numbers are numbers, in whole columns; texts are texts; what a trial has not is missing."""
    trials = frames.trials
    assert trials["optimizer"].tolist() == ["SGD", "Adam"] * 3 + ["SGD"]
    assert trials["lr"].tolist() == [0.1, 1e-05] * 3 + [0.1]
    types = {
        name: str(trials[name].dtype) for name in ("lr", "step_size", "gamma", "seed", "shuffle")
    }
    assert types == {
        "lr": "float64",
        "step_size": "int64",
        "gamma": "float64",
        "seed": "int64",
        "shuffle": "bool",
    }
    assert str(trials["limit"].dtype) == "Int64"
    assert trials["limit"].isna().tolist() == [False, True] * 3 + [False]
    assert str(trials["momentum"].dtype) == "float64"
    assert str(trials["nesterov"].dtype) == "boolean"
    assert trials["nesterov"].dropna().all()
    assert trials["betas"].dropna().unique().tolist() == ["[0.9, 0.99]"]


def test_the_documented_columns_are_those_there_are(frames):
    """Each column of a frame stands in the docstring of the function that loads it."""
    for frame, load in ((frames.trials, load_trials), (frames.curves, load_curves)):
        for name in frame.columns.difference(["nesterov", "betas"]):
            assert name in load.__doc__, name
    for name, kind in TRIAL_COLUMNS.items():
        assert str(frames.trials[name].dtype) == kind


def test_a_name_means_the_newest_study_of_that_name(stored, frames):
    """Of two studies of one name the later one counts, with its own trials alone."""
    assert isinstance(frames, StudyFrames)
    assert len(frames.trials) == len(stored.trials)
    assert (frames.name, frames.objective, frames.asked) == ("digits", "val_loss", 7)
    assert load_study(tracking_uri=stored.uri).run_id == frames.run_id


def test_studies_are_named_newest_first(stored):
    """Each name is there once."""
    assert study_names(connect(stored.uri)) == ["digits", "older"]


def test_a_study_of_many_pages_is_read_whole(stored, frames):
    """However few runs MLflow gives a page, all trials are there."""
    paged = read_study(SmallPages(connect(stored.uri)), "digits")
    pd.testing.assert_frame_equal(paged.trials, frames.trials)
    pd.testing.assert_frame_equal(paged.curves, frames.curves)


def test_a_study_without_trials_has_empty_frames(stored):
    """A study that has just begun has the same columns, of the same types."""
    empty = load_study("older", stored.uri)
    assert len(empty.trials) == len(empty.curves) == 0
    for name, kind in {**TRIAL_COLUMNS, "optimizer": "str", "step_size": "int64"}.items():
        assert str(empty.trials[name].dtype) == kind
    assert list(empty.curves.columns) == list(CURVE_COLUMNS)
    assert set(EPOCH_METRICS) <= set(empty.curves.columns)


def test_an_unknown_study_is_refused_with_the_ones_there_are(stored):
    """The message has what was got, the nearest name and all names."""
    with pytest.raises(UnknownStudy) as caught:
        load_trials("digts", stored.uri)
    assert str(caught.value) == (
        "Unknown study 'digts'; did you mean 'digits'? Choices: digits, older."
    )


def test_no_database_is_made_by_looking_for_a_study(tmp_path, monkeypatch):
    """Where there is no database, that is said, and there is none afterwards either."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for uri in (None, f"sqlite:///{tmp_path / 'mlflow.db'}", "sqlite:///mlflow.db"):
        with pytest.raises(UnknownStudy, match=r"there is no .*mlflow\.db.*python -m sweeps\.run"):
            load_curves(tracking_uri=uri)
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_studies_says_how_to_begin_one():
    """An MLflow that no sweep has written to is no error of the reader's."""

    class NoExperiment:
        def get_experiment_by_name(self, name):
            assert name == EXPERIMENT

    with pytest.raises(UnknownStudy, match=r"python -m sweeps\.run"):
        read_study(NoExperiment())


def test_a_store_that_cannot_be_read_is_one_line(tmp_path):
    """What MLflow says comes as a known error, without the password of its address."""
    with pytest.raises(SweepError) as caught:
        load_study(tracking_uri=f"file://me:secret@{tmp_path}")
    assert "cannot be read" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_study_says_how_to_look_at_it(stored, frames, monkeypatch):
    """A bare `mlflow ui` finds the database in the working folder; any other has to be named."""
    assert frames.view == f"mlflow ui --backend-store-uri {stored.uri}"
    monkeypatch.chdir(Path(stored.uri.removeprefix("sqlite:///")).parent)
    assert load_study("older", stored.uri).view == "mlflow ui"
