import math
from dataclasses import dataclass

import pandas as pd
import pytest
from studies import START, child, parent, tracker_in, trained

from sweeps.report.reading.columns import CURVE_COLUMNS
from sweeps.report.reading.frames import StudyFrames, load_study
from trainer.settings.config import TrainConfig
from trainer.tracking.record import COMPLETE, DIVERGED, FAILED, PRUNED, RunRecord

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
    """The records that were synced into MLflow's store, and what is read from it."""

    records: list[RunRecord]
    frames: StudyFrames


@pytest.fixture(scope="module")
def stored(tmp_path_factory, empty_database):
    """A study with a trial of each kind, and empty twins of two."""
    folder = tmp_path_factory.mktemp("reading")
    uri, tracker = tracker_in(folder, empty_database)
    study = parent("digits", "new", START)
    begun = [child(study, number, ADAM if number % 2 else SGD) for number in range(7)]
    records = [
        trained(begun[0], 2.5, 0.1 + 0.2, 1.5).ended(COMPLETE, "val_loss", {}, at=START + 4.5),
        trained(begun[1], 2.0, 1.75, reused=1).ended(PRUNED, "val_loss", {}, at=START + 13),
        trained(begun[2], 2.0, math.nan).ended(DIVERGED, "val_loss", {}, at=START + 23),
        trained(begun[3], math.inf).ended(DIVERGED, "val_loss", {}, at=START + 33),
        trained(begun[4], -math.inf).ended(DIVERGED, "val_loss", {}, at=START + 43),
        begun[5].ended(FAILED, "val_loss", {}, at=START + 51),
        trained(begun[6], 2.0),
    ]
    # the later trials first: the order of the runs in MLflow means nothing
    for record in (study, *reversed(records)):
        tracker.sync(record)
    for record in (records[0], records[6]):  # a server made them, and its answer was lost
        tags = {"sweep.run": record.id, "sweep.group": record.group, **record.tags}
        tracker.client.create_run(tracker.experiment_id, tags=tags | {"sweep.state": "running"})
    return Stored(records, load_study("digits", uri))


def test_every_epoch_is_read_as_it_was_logged(stored):
    """A curve has each epoch's numbers to the last bit, NaN and infinities included."""
    expected = pd.DataFrame(
        [
            {
                "trial": number,
                "epoch": result.epoch,
                **result.metrics(),
                "reused": record.is_reused(result),
                "worker": int(result.worker.rpartition(":")[2]),
                "ended_at": pd.Timestamp(result.ended_at, unit="s", tz="UTC"),
            }
            for number, record in enumerate(stored.records)
            for result in record.results
        ]
    ).astype(CURVE_COLUMNS)
    curves = stored.frames.curves
    pd.testing.assert_frame_equal(curves, expected, check_exact=True)
    assert curves["val_loss"].isna().sum() == 1
    assert {math.inf, -math.inf} <= set(curves["val_loss"])


def test_every_trial_is_a_row_with_its_state_and_best_values(stored):
    """A row has what was logged at the trial's end, and nothing where it has no ranking."""
    trials = stored.frames.trials.set_index("trial")
    assert list(trials.index) == list(range(7))
    assert list(trials["state"]) == [record.state for record in stored.records]
    for number, record in enumerate(stored.records):
        for name in ("best_val_loss", "best_val_accuracy", "best_running_loss", "best_epoch"):
            if name in record.metrics:
                assert trials.loc[number, name] == record.metrics[name]
            else:
                assert pd.isna(trials.loc[number, name])


def test_a_trial_counts_its_epochs(stored):
    """Epochs logged are those trained for the trial and those reused; a failed one has none."""
    for row, record in zip(stored.frames.trials.itertuples(), stored.records, strict=True):
        assert row.epochs == len(record.results)
        assert row.reused_epochs == record.reused_epochs
        assert row.trained_epochs == row.epochs - row.reused_epochs
        assert row.asked_epochs == 3


def test_a_trial_has_its_last_epochs_values(stored):
    """val_loss and the like are those of the last epoch, also where that is not a number."""
    for _, row in stored.frames.trials.iterrows():
        results = stored.records[row["trial"]].results
        for name in ("val_loss", "val_accuracy", "running_loss", "train_loss"):
            last = results[-1].values[name] if results else math.nan
            assert row[name] == pytest.approx(last, rel=0, abs=0, nan_ok=True)


def test_a_trial_has_its_time(stored):
    """Seconds are from start to end; what still runs has none."""
    trials = stored.frames.trials
    seconds = trials["seconds"].tolist()
    assert seconds[:2] == [4.5, 3.0]
    assert math.isnan(seconds[6])
    starts = [record.started_at for record in stored.records]
    assert trials["started_at"].map(pd.Timestamp.timestamp).tolist() == starts


def test_parameters_have_their_types(stored):
    """Numbers are numbers, in whole columns; texts are texts; what a trial has not is missing."""
    trials = stored.frames.trials
    assert trials["optimizer"].tolist() == ["SGD", "Adam"] * 3 + ["SGD"]
    assert trials["lr"].tolist() == [0.1, 1e-05] * 3 + [0.1]
    types = {
        "lr": "float64",
        "step_size": "int64",
        "gamma": "float64",
        "seed": "int64",
        "shuffle": "bool",
        "limit": "Int64",
        "momentum": "float64",
        "nesterov": "boolean",
    }
    assert {name: str(trials[name].dtype) for name in types} == types
    assert trials["limit"].isna().tolist() == [False, True] * 3 + [False]
    assert trials["nesterov"].dropna().all()
    assert trials["betas"].dropna().unique().tolist() == ["[0.9, 0.99]"]
