from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from studies import START, child, parent, tracker_in, trained

from sweeps.errors import SweepError, UnknownStudy
from sweeps.report.reading.columns import CONFIG_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS
from sweeps.report.reading.frames import (
    StudyFrames,
    load_curves,
    load_study,
    load_trials,
    read_study,
)
from trainer.metrics import EPOCH_METRICS
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect
from trainer.tracking.names import COMPARE_TAG, STUDIES_EXPERIMENT
from trainer.tracking.record import COMPLETE


class SmallPages:
    """MLflow's client over a server that gives two runs a page."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def search_runs(self, *args, **settings):
        """Two of the runs, and how to ask for the rest."""
        return self._client.search_runs(*args, **(settings | {"max_results": 2}))


@pytest.fixture(scope="module")
def uri(tmp_path_factory, empty_database):
    """MLflow's store with a study, the one that had its name before, and one without trials."""
    folder = tmp_path_factory.mktemp("frames")
    uri, tracker = tracker_in(folder, empty_database)
    study, replaced = parent("digits", "new", START), parent("digits", "old", START - 500)
    for record in (parent("older", "other", START - 900), replaced, study):
        tracker.sync(record)
    for begun in (
        child(replaced, 0, TrainConfig()),
        *(child(study, n, TrainConfig()) for n in range(3)),
    ):
        tracker.sync(trained(begun, 2.0, 1.0).ended(COMPLETE, "val_loss", {}, at=START))
    return uri


@pytest.fixture(scope="module")
def frames(uri):
    """The study, read back."""
    return load_study("digits", uri)


def test_the_documented_columns_are_those_there_are(frames):
    """Each column of a frame stands in the docstring of the function that loads it."""
    for frame, load in ((frames.trials, load_trials), (frames.curves, load_curves)):
        for name in frame:
            assert name in load.__doc__ or name in CONFIG_COLUMNS.values(), name
    for name, kind in TRIAL_COLUMNS.items():
        assert str(frames.trials[name].dtype) == kind


def test_a_name_means_the_newest_study_of_that_name(uri, frames):
    """Of two studies of one name the later one counts, with its own trials alone."""
    assert isinstance(frames, StudyFrames)
    assert len(frames.trials) == 3
    assert (frames.name, frames.objective, frames.asked) == ("digits", "val_loss", 7)
    assert load_study(tracking_uri=uri).run_id == frames.run_id


def test_a_study_of_many_pages_is_read_whole(uri, frames):
    """However few runs MLflow gives a page, all trials are there."""
    paged = read_study(SmallPages(connect(uri)), "digits")
    pd.testing.assert_frame_equal(paged.trials, frames.trials)
    pd.testing.assert_frame_equal(paged.curves, frames.curves)


def test_a_study_without_trials_has_empty_frames(uri):
    """A study that has just begun has the same columns, of the same types."""
    empty = load_study("older", uri)
    assert len(empty.trials) == len(empty.curves) == 0
    for name, kind in {**TRIAL_COLUMNS, "optimizer": "str", "step_size": "int64"}.items():
        assert str(empty.trials[name].dtype) == kind
    assert list(empty.curves.columns) == list(CURVE_COLUMNS)
    assert set(EPOCH_METRICS) <= set(empty.curves.columns)


def test_an_unknown_study_is_refused_with_the_ones_there_are(uri):
    """The message has what was got, the nearest name and all names, each once."""
    with pytest.raises(UnknownStudy) as caught:
        load_trials("digts", uri)
    assert str(caught.value) == (
        "Unknown study 'digts'; did you mean 'digits'? Choices: digits, older."
    )


def test_no_database_is_made_by_looking_for_a_study(tmp_path, monkeypatch):
    """Where there is no database, that is said, and there is none afterwards either."""
    monkeypatch.chdir(tmp_path)
    for uri in (None, f"sqlite:///{tmp_path / 'mlflow.db'}", "sqlite:///mlflow.db"):
        with pytest.raises(UnknownStudy, match=r"there is no .*mlflow\.db.*python -m sweeps\.run"):
            load_curves(tracking_uri=uri)
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_studies_says_how_to_begin_one():
    """An MLflow that no sweep has written to is no error of the reader's."""

    class NoExperiment:
        def get_experiment_by_name(self, name):
            assert name == STUDIES_EXPERIMENT

    with pytest.raises(UnknownStudy, match=r"python -m sweeps\.run"):
        read_study(NoExperiment())


def test_a_store_that_cannot_be_read_is_one_line(tmp_path):
    """What MLflow says comes as a known error, without the password of its address."""
    with pytest.raises(SweepError) as caught:
        load_study(tracking_uri=f"file://me:secret@{tmp_path}")
    assert "cannot be read" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_study_says_how_to_look_at_it(uri, frames, monkeypatch):
    """A bare `mlflow ui` finds the database in the working folder; any other has to be named."""
    assert frames.view == f"mlflow ui --backend-store-uri {uri}"
    monkeypatch.chdir(Path(uri.removeprefix("sqlite:///")).parent)
    assert load_study("older", uri).view == "mlflow ui"


def test_a_study_says_which_parameter_it_compares(uri, frames, tmp_path, empty_database):
    """By a tag of its own run, which others lack."""
    assert frames.compare == ""
    other, tracker = tracker_in(tmp_path, empty_database)
    study = parent("fair", "fair", START)
    tracker.sync(replace(study, tags={**study.tags, COMPARE_TAG: "optimizer"}))
    assert load_study("fair", other).compare == "optimizer"
