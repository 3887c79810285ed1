import math

import pandas as pd
from studies import frames_of

from sweeps.report.ranking import pareto_front
from sweeps.report.summary import summarize


def test_the_winner_is_the_best_complete_trial():
    """A pruned trial may rank above it, which is said; a diverged one never does."""
    summary = summarize(
        frames_of(
            ("complete", [2.0, 1.5, 1.6], {}),
            ("complete", [2.0, 1.4, 1.3], {"lr": 0.1}),
            ("pruned", [1.2], {"lr": 0.2}),
            ("diverged", [0.1], {"lr": 1.0}),
            ("failed", [], {}),
            ("running", [0.2], {}),
        )
    )
    assert summary.winner.trial == 1
    assert (summary.winner.value, summary.winner.epoch) == (1.3, 3)
    assert summary.winner.params == {"optimizer": "SGD", "lr": 0.1, "step_size": 5, "gamma": 0.1}
    assert summary.top["trial"].tolist() == [2, 1, 0]
    assert summary.ranked == 3
    assert any(note.startswith("Trial 2 was pruned after epoch 1") for note in summary.advice)


def test_without_a_complete_trial_the_best_pruned_one_wins():
    """The summary says that it does."""
    summary = summarize(frames_of(("pruned", [2.0], {}), ("pruned", [1.0, 3.0], {})))
    assert (summary.winner.trial, summary.winner.state, summary.winner.epoch) == (1, "pruned", 1)
    assert summary.notes == ("The winner was pruned after epoch 2: train it to its end.",)


def test_more_accuracy_is_better():
    """The objective says which way is up; equal trials go by number."""
    trials = [("complete", [0.5, value], {}) for value in (0.6, 0.7, 0.7)]
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
    """Every trial counts in n, only complete and pruned ones in their values."""
    summary = summarize(
        frames_of(
            ("complete", [3.0], {}),
            ("pruned", [5.0], {}),
            ("diverged", [1.0], {}),
            ("complete", [2.0], {"optimizer": "Adam"}),
            ("failed", [], {"optimizer": "Rprop"}),
        )
    )
    expected = pd.DataFrame(
        {
            "optimizer": ["Adam", "SGD", "Rprop"],
            "n": [1, 3, 1],
            "complete": [1, 1, 0],
            "pruned": [0, 1, 0],
            "diverged": [0, 1, 0],
            "failed": [0, 0, 1],
            "best": [2.0, 3.0, math.nan],
            "median": [2.0, 4.0, math.nan],
            "spread": [math.nan, 1.0, math.nan],
        }
    )
    pd.testing.assert_frame_equal(summary.by_optimizer, expected)
