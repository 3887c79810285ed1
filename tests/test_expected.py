from itertools import product

import numpy as np
import pandas as pd
import pytest

from sweeps.report.compare.expected import expected_best, expected_curve


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0], [4.0, 1.0, 1.0, 2.5]])
def test_the_expected_best_is_the_mean_over_all_draws(values, n, maximize):
    """Of n from the values with replacement, counted out one by one."""
    best = max if maximize else min
    mean = np.mean([best(drawn) for drawn in product(values, repeat=n)])
    assert expected_best(np.array(values), n, maximize) == pytest.approx(mean, abs=1e-12)


def test_many_lists_are_as_one_after_the_other():
    """Resamples are computed at once."""
    lists = np.random.default_rng(0).normal(size=(3, 4))
    each = [expected_best(it, 2, maximize=False) for it in lists]
    np.testing.assert_allclose(expected_best(lists, 2, maximize=False), each)


@pytest.mark.parametrize("maximize", [True, False])
def test_more_trials_are_expected_to_be_better_within_a_band(maximize):
    """From the mean towards the best value, and never beyond it; the same at each call."""
    values = np.random.default_rng(1).normal(size=12)
    curve = expected_curve(values, maximize)
    assert curve["trials"].tolist() == list(range(1, 13))
    assert curve["expected"].iloc[0] == pytest.approx(values.mean())
    steps = np.diff(curve["expected"])
    assert (steps > 0).all() if maximize else (steps < 0).all()
    assert curve["expected"].between(values.min(), values.max()).all()
    assert curve["expected"].between(curve["low"], curve["high"]).all()
    pd.testing.assert_frame_equal(curve, expected_curve(values, maximize))


def test_the_band_holds_the_truth_about_as_often_as_it_says():
    """The best of 3 uniform draws is 1/4 on average; in 200 studies of 30 trials each."""
    draws = np.random.default_rng(2).uniform(size=(200, 30))
    third = [expected_curve(it, maximize=False).iloc[2] for it in draws]
    assert 0.88 <= np.mean([row["low"] <= 0.25 <= row["high"] for row in third]) <= 0.99


def test_one_trial_has_no_band_and_thousands_have_few_points():
    """The first and the last number of trials are always among them."""
    assert expected_curve(np.array([2.0]), maximize=True).isna().sum().tolist() == [0, 0, 1, 1]
    many = expected_curve(np.arange(3000.0), maximize=True)["trials"]
    assert len(many) <= 60
    assert (many.iloc[0], many.iloc[-1]) == (1, 3000)
