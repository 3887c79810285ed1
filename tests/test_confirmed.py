import math

import numpy as np
import pytest
from studies import frames_of, repeats_of

from sweeps.report.compare.confirmed import (
    BEST_VERDICT,
    TIED,
    TOO_FEW,
    WORSE,
    compare,
    interval,
    seed_noise,
)
from sweeps.report.summary import summarize
from sweeps.report.wording import confirmed_line


def repeated(*values):
    """Repeats from the values of each trial, from seed 1 on."""
    return repeats_of(
        *[
            (trial, seed, value)
            for trial, own in enumerate(values)
            for seed, value in enumerate(own, start=1)
        ]
    )


def test_trials_are_compared_over_the_seeds_that_both_have():
    """A difference that all seeds share is sure, however much the seeds differ."""
    frame = compare(
        repeated([1.0, 5.0, 9.0, 2.0, 4.0], [1.1, 5.2, 9.1, 2.1, 4.1, 77.0]), maximize=False
    )
    assert frame["trial"].tolist() == [0, 1]
    assert frame["seeds"].tolist() == [5, 6]
    assert frame["difference"].tolist() == [0, pytest.approx(0.12)]
    assert frame["verdict"].tolist() == [BEST_VERDICT, WORSE]
    assert 0.0999 <= frame["low"][1] < 0.12 < frame["high"][1] <= 0.2


def test_a_difference_that_goes_both_ways_is_a_tie():
    """More is better where the objective says so."""
    repeats = repeated([0.5, 0.6, 0.7, 0.5, 0.6], [0.6, 0.6, 0.65, 0.5, 0.6])
    frame = compare(repeats, maximize=True)
    assert frame["trial"].tolist() == [1, 0]
    assert frame["verdict"].tolist() == [BEST_VERDICT, TIED]
    assert compare(repeats, maximize=False)["trial"].tolist() == [0, 1]


def test_four_seeds_are_too_few_and_one_that_diverged_comes_last():
    """No interval is made up; a mean of the luckier seeds does not win."""
    frame = compare(repeated([1.0, 2.0] * 2, [1.5, 2.0] * 2, [0.1, math.nan]), maximize=False)
    assert frame["trial"].tolist() == [0, 1, 2]
    assert frame["diverged"].tolist() == [0, 0, 1]
    assert frame["verdict"].tolist() == [BEST_VERDICT, TOO_FEW, TOO_FEW]
    assert frame[["low", "high"]].isna().all().all()
    assert compare(repeats_of(), maximize=False).empty


@pytest.mark.parametrize("seeds", [5, 20])
def test_the_interval_holds_the_mean_about_as_often_as_it_says(seeds):
    """In 300 draws of so many normal values, with few as with many."""
    draws = np.random.default_rng(1).normal(size=(300, seeds))
    held = np.mean([low <= 0 <= high for low, high in map(interval, draws)])
    assert 0.91 <= held <= 0.98


def test_the_winner_is_the_best_one_confirmed():
    """From five seeds on; and the line says which are tied with it."""
    trials = [("complete", [1.0, 2.0], {}), ("complete", [1.1, 2.0], {"lr": 0.1})]
    twice = frames_of(*trials, repeats=[(0, 1, 2.0), (0, 2, 2.0), (1, 1, 1.0), (1, 2, 1.0)])
    assert summarize(twice).winner.trial == 0
    assert "too few seeds to compare" in confirmed_line(summarize(twice))
    often = [(trial, seed, 2.0 - trial) for trial in (0, 1) for seed in range(5)]
    summary = summarize(frames_of(*trials, repeats=often))
    assert summary.winner.trial == 1
    assert confirmed_line(summary) == (
        "confirmed: from 5 other seeds trial 1 has a mean val_loss of 1 (standard deviation 0); "
        "no other is tied with it"
    )
    alike = [(trial, seed, float(seed)) for trial in (0, 1) for seed in range(5)]
    assert confirmed_line(summarize(frames_of(*trials, repeats=alike))).endswith(
        "; trial 1 tied with it"
    )


def test_what_all_vary_by_between_seeds_is_no_noise():
    """Only what is left once each seed's and each trial's mean are taken out, over the mean."""
    assert seed_noise(repeated([1.0, 2.0, 6.0], [2.0, 3.0, 7.0])) == pytest.approx(0.0)
    draws = np.random.default_rng(0).normal(10.0, 0.5, (40, 50))
    seeds = np.random.default_rng(1).normal(0.0, 3.0, 50)
    assert seed_noise(repeated(*(draws + seeds))) == pytest.approx(0.05, rel=0.1)


def test_noise_is_unknown_unless_two_trials_share_three_seeds():
    """One trial shows only what seeds do to all."""
    assert seed_noise(repeats_of()) is None
    assert seed_noise(repeated([1.0, 2.0, 3.0, 4.0])) is None
    assert seed_noise(repeated([1.0, 2.0], [2.0, 4.0])) is None
    assert seed_noise(repeated([1.0, 2.0, 3.0], [2.0, 4.0, math.nan])) is None


def test_what_lost_a_race_comes_after_what_went_on():
    """Two lucky seeds do not beat five; nor is the winner said to have too few."""
    repeats = repeated([1.0] * 5, [0.9, 0.9], [1.2] * 5)
    frame = compare(repeats, maximize=False)
    assert frame["trial"].tolist() == [0, 2, 1]
    assert frame["verdict"].tolist() == [BEST_VERDICT, WORSE, TOO_FEW]
    few = compare(repeated([1.0, 1.0], [0.9, 0.9]), maximize=False)
    assert few["trial"].tolist() == [1, 0]
