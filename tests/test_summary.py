from dataclasses import replace

import pandas as pd
import pytest
from studies import START, frames_of, repeats_of

from sweeps.report.summary import summarize
from sweeps.report.wording import headlines


def test_only_the_ten_best_are_shown():
    """All of them are counted."""
    summary = summarize(frames_of(*[("complete", [float(value)], {}) for value in range(12)]))
    assert summary.top["trial"].tolist() == list(range(10))
    assert (summary.ranked, summary.trials) == (12, 12)


def test_epochs_and_time_are_added_up():
    """Epochs asked for are trained or reused; the time is from the first start to the last end."""
    summary = summarize(frames_of(("complete", [3.0, 2.0], {}), ("running", [3.0, 2.0, 1.0], {})))
    assert (summary.epochs, summary.trained_epochs, summary.reused_epochs) == (5, 4, 1)
    assert summary.seconds == 13.0
    assert summary.counts == {"complete": 1, "running": 1}


def test_a_study_without_ranked_trials_has_no_winner():
    """Nothing begun, all failed, or all in their first epoch: each is summed up, and said."""
    for trials in ([], [("failed", [], {}), ("running", [], {})]):
        summary = summarize(frames_of(*trials, asked=2))
        assert summary.winner is None
        assert summary.top.empty
        assert "No trial has a result yet." in summary.notes
        assert summary.trials == len(trials)
    assert summarize(frames_of(asked=2)).seconds is None


def test_what_was_not_the_same_for_all_trials_is_shown():
    """An argument of an optimizer, and a field that differs, are among the winner's parameters."""
    fields = {"momentum": 0.9, "batch_size": 32, "seed": 1}
    summary = summarize(
        frames_of(
            ("complete", [1.0], fields),
            ("complete", [2.0], {"optimizer": "Adam", "batch_size": 64, "seed": 1}),
        )
    )
    assert summary.winner.params["momentum"] == 0.9
    assert summary.winner.params["batch_size"] == 32
    assert "seed" not in summary.winner.params
    assert {"momentum", "batch_size"} <= set(summary.top.columns)


def test_trials_without_a_valid_config_add_no_columns():
    """Most of their values are missing, which is no difference."""
    fields = {"seed": 1, "dataset": "digits"}
    refused = ("failed", [], {"asked_epochs": None})
    top = summarize(frames_of(("complete", [1.0], fields), refused)).top
    assert top.columns.is_unique
    assert {"seed", "dataset"}.isdisjoint(top.columns)


def test_trials_that_share_their_best_epoch_are_listed_once():
    """They are one result under several numbers."""
    same = [("complete", [2.0, 1.0], {"gamma": gamma}) for gamma in (0.1, 0.2, 0.3)]
    summary = summarize(frames_of(*same, ("complete", [2.0, 1.5], {})))
    assert summary.top["trial"].tolist() == [0, 3]
    assert (summary.ranked, summary.results) == (4, 2)


def test_a_pause_is_no_time_of_work():
    """A study that was extended an hour later took no hour; its confirmation is work."""
    frames = frames_of(*[("complete", [3.0, 2.0], {})] * 2)
    trials, curves = frames.trials.copy(), frames.curves.copy()
    later = pd.Timedelta(hours=1)
    trials.loc[1, "started_at"] += later
    curves.loc[curves["trial"] == 1, "ended_at"] += later
    extended = replace(frames, trials=trials, curves=curves)
    assert summarize(extended).seconds == 4.0
    at = pd.Timestamp(START + 20, unit="s", tz="UTC")
    repeats = repeats_of((0, 1, 2.0)).assign(started_at=at, seconds=30.0)
    assert summarize(replace(frames, repeats=repeats)).seconds == 50.0


@pytest.mark.parametrize(
    ("objective", "target", "epochs", "line"),
    [
        ("val_loss", 1.5, 3, "target: val_loss 1.5 reached after 3 epochs, 2 s of training"),
        ("val_loss", 0.5, None, "target: val_loss 0.5 is not reached"),
        ("val_accuracy", 2.0, 1, "target: val_accuracy 2 reached after 1 epoch, 0 s of training"),
        ("val_accuracy", 4.0, None, "target: val_accuracy 4 is not reached"),
    ],
)
def test_how_much_training_the_target_took_is_said(objective, target, epochs, line):
    """In epochs of all trials and their training time, up to the epoch that reached it."""
    trials = [("complete", [2.0, 1.8], {}), ("complete", [1.4, 1.0], {})]
    frames = replace(frames_of(*trials, objective=objective), target=target)
    summary = summarize(frames)
    assert summary.epochs_to_target == epochs
    assert summary.seconds_to_target == (None if epochs is None else epochs / 2)
    assert line in list(headlines(summary))


def test_a_study_without_a_target_says_nothing_of_one():
    """Reports of studies that were run before there were targets are as they were."""
    summary = summarize(frames_of(("complete", [2.0], {})))
    assert summary.target is None
    assert not [line for line in headlines(summary) if line.startswith("target")]


def test_epochs_that_a_complete_trial_did_not_need_are_saved():
    """As with `--patience`: it asked for two, and its first was its last."""
    summary = summarize(frames_of(("complete", [2.0, 1.0], {}), ("complete", [3.0], {})))
    assert summary.spared_epochs == 1
