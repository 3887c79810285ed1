from dataclasses import replace

import pytest
from studies import frames_of, repeats_of

from sweeps.report.notes import TRAINS_ON_TEST
from sweeps.report.showing import share
from sweeps.report.summary import summarize


def test_notes_say_what_makes_the_winner_doubtful():
    """Trials that are missing, have failed, or diverged."""
    trials = [("complete", [3.0, 2.0 + lr], {"lr": lr}) for lr in (0.1, 0.2, 0.3)]
    summary = summarize(
        frames_of(*trials, ("failed", [], {}), ("diverged", [9.0], {"lr": 0.5}), asked=6)
    )
    notes = "\n".join(summary.notes)
    assert "Started trials: 5 of 6 (83 %)." in notes
    assert "Failed trials: 1 of 5 (20 %)" in notes
    assert "Diverged trials: 1 of 5 (20 %), at lr 0.5." in notes
    assert "lowest" not in notes
    doubtless = frames_of(*[("complete", [1.0 + abs(lr - 2), 4], {"lr": lr}) for lr in (1, 2, 3)])
    assert summarize(doubtless).notes == ()


def test_trials_that_were_not_trained_to_their_end_are_explained():
    """Why, and what it means for the winner; a pruner of Optuna's has reasons of its own."""
    trials = [("pruned", [3.0, 2.0, 1.0], {}), ("pruned", [4.0], {})]
    trials += [("complete", [3.0, 2.0, 1.5, 1.4], {})] * 2
    frames = replace(frames_of(*trials), settings={"pruner": "FrugalPruner"})
    assert summarize(frames).notes == (
        "Pruned trials: 2 of 4 (50 %); they were expected to improve the best value less than "
        "other trials.",
        "The winner's best epoch is the last of its 3 epochs, so the remaining 1 may improve it: "
        "train it to its end.",
    )
    assert len(summarize(replace(frames, settings={"pruner": "MedianPruner"})).notes) == 1
    running = frames_of(("suspended", [1.0], {}), *trials)
    assert summarize(running).notes == (
        "Suspended trials: 1 of 5 (20 %); the one that is expected to improve the best value most "
        "is resumed next.",
        "The best trial may still be trained further, so there is no advice yet.",
    )


def test_training_on_test_images_is_said_where_others_measure_by_them():
    """Not of digits, which have no test images of their own, nor of a loop of the user's."""
    frames = frames_of(*[("complete", [1.0 + abs(lr - 2), 4], {"lr": lr}) for lr in (1, 2, 3)])
    settings = {"dataset": "cifar10", "split": "test"}
    assert summarize(replace(frames, settings=settings)).notes == (TRAINS_ON_TEST,)
    for other in ({"dataset": "digits"}, {"split": "train"}, {"trainable": "mine:Loop"}):
        assert summarize(replace(frames, settings=settings | other)).notes == ()


def test_optimizers_with_few_trials_are_named():
    """Where another has enough of them."""

    def notes(**counts):
        names = [name for name, n in counts.items() for _ in range(n)]
        trials = enumerate(names, start=1)
        frames = frames_of(
            *[("complete", [4 + n, 3 + n], {"optimizer": name, "lr": n}) for n, name in trials]
        )
        return [it for it in summarize(frames).notes if it.startswith("Optimizers with")]

    assert notes(SGD=4, Adam=2, RMSprop=1) == [
        "Optimizers with so few trials that these say little about them: Adam (2), RMSprop (1)."
    ]
    assert notes(SGD=3, Adam=3) == notes(SGD=2, Adam=1) == []


def test_what_more_trials_bring_is_what_the_last_of_these_brought():
    """Beside what one configuration varies by between seeds, where that is known."""
    flat = [("complete", [1.0], {})] * 24
    (note,) = summarize(frames_of(*flat)).notes
    assert note == (
        "The best val_loss did not improve in the last 6 of 24 trials; expect little improvement "
        "from 24 more."
    )
    better = frames_of(*flat[:-1], ("complete", [0.98], {}))
    (note,) = summarize(better).notes
    assert note == (
        "The best val_loss improved by 2 % in the last 6 of 24 trials; expect about as much "
        "from 24 more."
    )
    seeds = [(1, 1.0), (2, 1.1), (3, 1.0)]
    rows = [(trial, seed, trial * value) for trial in (1, 2) for seed, value in seeds]
    (note, *_) = summarize(replace(better, repeats=repeats_of(*rows))).notes
    assert "in the last 6 of 24 trials, less than the variation between seeds" in note


def test_nothing_is_said_of_more_trials_while_these_are_few_or_open():
    """Nineteen are few; one that is suspended may still improve."""
    flat = [("complete", [1.0], {})] * 24
    assert summarize(frames_of(*flat[:19])).notes == ()
    open_ = frames_of(*flat, ("suspended", [2.0], {}))
    assert not [note for note in summarize(open_).notes if "expect little" in note]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 50, "0 of 50 (0 %)"),
        (1, 1000, "1 of 1000 (<1 %)"),
        (7, 50, "7 of 50 (14 %)"),
        (999, 1000, "999 of 1000 (>99 %)"),
        (50, 50, "50 of 50 (100 %)"),
        (0, 0, "0 of 0"),
    ],
)
def test_a_share_never_rounds_to_all_or_nothing(part, whole, text):
    """0 % is none and 100 % is all; n is always said."""
    assert share(part, whole) == text
