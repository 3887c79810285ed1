import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from studies import frames_of

from sweeps.report.compare.ranking import distinct, pareto_front, rank
from sweeps.report.summary import summarize


def test_the_winner_is_the_best_trial_that_did_not_diverge():
    """Be it complete or not."""
    summary = summarize(
        frames_of(
            ("complete", [2.0, 1.5, 1.6], {}),
            ("complete", [2.0, 1.4, 1.3], {"lr": 0.1}),
            ("pruned", [1.2], {"lr": 0.2}),
            ("diverged", [0.1], {"lr": 1.0}),
            ("failed", [], {}),
            ("running", [], {}),
        )
    )
    assert (summary.winner.trial, summary.winner.state) == (2, "pruned")
    assert (summary.winner.value, summary.winner.epoch) == (1.2, 1)
    assert (summary.winner.epochs, summary.winner.asked_epochs) == (1, 3)
    assert summary.winner.params == {"optimizer": "SGD", "lr": 0.2, "step_size": 5, "gamma": 0.1}
    assert summary.top["trial"].tolist() == [2, 1, 0]
    assert summary.ranked == 3


@pytest.mark.parametrize("state", ["suspended", "running", "interrupted"])
def test_trials_that_may_be_trained_further_are_ranked(state):
    """MLflow has no best value of them yet, so their curves say it."""
    summary = summarize(frames_of((state, [2.0, 1.0], {}), ("complete", [3.0, 1.5, 1.6], {})))
    assert summary.top["trial"].tolist() == [0, 1]
    assert summary.top["best_val_loss"].tolist() == [1.0, 1.5]
    assert (summary.winner.trial, summary.winner.state) == (0, state)
    assert summary.is_open
    assert summary.spared_epochs == (state == "suspended")


def test_more_accuracy_is_better():
    """The objective says which way is up; equal trials go by number."""
    trials = [("complete", [*values], {}) for values in ((0.5, 0.6), (0.5, 0.7), (0.4, 0.7))]
    summary = summarize(frames_of(*trials, objective="val_accuracy"))
    assert summary.top["trial"].tolist() == [1, 2, 0]
    assert summary.by_optimizer.loc[0, "best"] == summary.winner.val_accuracy == 0.7


def test_an_objective_that_has_no_best_metric_is_ranked_by_its_curve():
    """train_loss is not logged as a best value: its lowest epoch counts all the same."""
    summary = summarize(
        frames_of(
            ("complete", [3.0, 2.0, 2.0], {}),
            ("pruned", [2.5, 4.0], {}),
            ("diverged", [0.1], {}),
            objective="train_loss",
        )
    )
    assert summary.top["best_train_loss"].tolist() == [2.0, 2.5]
    assert summary.top["best_epoch"].tolist() == [2, 1]
    assert summary.winner.trial == 0
    assert summary.winner.command == (
        "python -m trainer --optimizer SGD --lr 0.01 --step-size 5 --gamma 0.1 --epochs 3"
    )


def test_the_front_has_the_trials_that_no_other_beats():
    """One that is worse in one and no better in the other is beaten; those alike stay together."""
    trials = pd.DataFrame(
        {
            "loss": [1.0, 2.0, 3.0, 2.0, 3.0, 1.0, 0.5],
            "seconds": [9.0, 5.0, 1.0, 6.0, 1.0, 9.0, math.nan],
        },
        index=[10, 11, 12, 13, 14, 15, 16],
    )
    lower = pareto_front(trials, {"loss": False, "seconds": False})
    assert lower[lower].index.tolist() == [10, 11, 12, 14, 15]
    higher = pareto_front(trials, {"loss": True, "seconds": True})
    assert higher[higher].index.tolist() == [10, 12, 13, 14, 15]
    assert pareto_front(trials.head(0), {"loss": False}).empty


def test_the_front_of_many_trials_needs_little_memory():
    """It grows with their number, not with its square, and is that of comparing all pairs."""
    values = np.random.default_rng(0).integers(0, 40, (300, 2)).astype(float)
    values[::50, 1] = math.inf
    trials = pd.DataFrame(values, columns=["loss", "seconds"])
    as_good = (values[:, None] <= values[None]).all(axis=2)
    better = (values[:, None] < values[None]).any(axis=2)
    lower = {"loss": False, "seconds": False}
    assert (pareto_front(trials, lower) == ~(as_good & better).any(axis=0)).all()
    many = pd.DataFrame(np.random.default_rng(0).random((10_000, 2)), columns=trials.columns)
    tracemalloc.start()
    pareto_front(many, lower)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_trials_that_share_their_best_epoch_are_one_result():
    """Whatever they trained after that; of those the best ranked one, the first, counts."""
    frames = frames_of(
        ("complete", [3.0, 2.0, 4.0], {}),
        ("pruned", [3.0, 2.0], {"gamma": 0.5}),
        ("complete", [3.0, 2.0, 1.5], {}),
        ("complete", [2.5, 2.0, 4.0], {}),
        ("complete", [3.0, 2.0, 4.0], {"optimizer": "Adam"}),
        ("failed", [], {}),
    )
    ranked = rank(frames)
    assert ranked["trial"].tolist() == [2, 0, 1, 3, 4]
    assert distinct(frames, ranked)["trial"].tolist() == [2, 0, 3, 4]
    assert distinct(frames, ranked.head(0)).empty


def test_a_study_of_two_objectives_has_a_front():
    """Two epochs take twice the seconds of one; what diverged or failed is not on it."""
    summary = summarize(
        frames_of(
            ("complete", [3.0, 2.0], {}),
            ("complete", [2.5], {"lr": 0.1}),
            ("complete", [2.6], {}),
            ("diverged", [0.1], {}),
            second="seconds",
        )
    )
    assert summary.front["trial"].tolist() == [0, 1]
    assert summary.front["seconds"].tolist() == [1.0, 0.5]
    assert summary.front["best_val_loss"].tolist() == [2.0, 2.5]
    assert summary.winner.trial == 0


def test_a_second_metric_counts_at_its_own_best_epoch():
    """More accuracy is better, wherever in the run it was."""
    summary = summarize(
        frames_of(("complete", [3.0, 2.0], {}), ("complete", [1.0], {}), second="val_accuracy")
    )
    assert summary.front["trial"].tolist() == [1]
    assert summary.front["best_val_accuracy"].tolist() == [0.5]


def test_a_study_of_one_objective_has_no_front():
    """There is nothing to be weighed against anything."""
    assert summarize(frames_of(("complete", [3.0], {}))).front.empty


def test_optimizers_are_compared_with_their_numbers_of_trials():
    """By their best trials, with the epochs of these; median and spread are of complete ones."""
    summary = summarize(
        frames_of(
            ("complete", [3.0], {}),
            ("complete", [4.0], {}),
            ("pruned", [1.5], {}),
            ("diverged", [1.0], {}),
            ("complete", [2.0], {"optimizer": "Adam"}),
            ("pruned", [2.0], {"optimizer": "AdamW"}),
            ("suspended", [2.5, 1.75], {"optimizer": "AdamW"}),
            ("failed", [], {"optimizer": "Rprop"}),
        )
    )
    expected = pd.DataFrame(
        {
            "optimizer": ["SGD", "AdamW", "Adam", "Rprop"],
            "n": [4, 2, 1, 1],
            "complete": [2, 0, 1, 0],
            "pruned": [1, 1, 0, 0],
            "suspended": [0, 1, 0, 0],
            "running": [0, 0, 0, 0],
            "interrupted": [0, 0, 0, 0],
            "diverged": [1, 0, 0, 0],
            "failed": [0, 0, 0, 1],
            "best": [1.5, 1.75, 2.0, math.nan],
            "epochs": [1, 2, 1, None],
            "asked_epochs": [2, 2, 2, None],
            "median": [3.5, math.nan, 2.0, math.nan],
            "spread": [0.5, math.nan, math.nan, math.nan],
        }
    ).astype({"epochs": "Int64", "asked_epochs": "Int64"})
    pd.testing.assert_frame_equal(summary.by_optimizer, expected)
