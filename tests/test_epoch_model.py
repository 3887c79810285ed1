"""The model of one epoch, on a law of training that is known."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from laws import losses, points_of, space_in, trial_of

from sweeps.search.allocation.curves import Curves
from sweeps.search.allocation.epoch_model import TREES, EpochModel
from sweeps.search.allocation.points import Point, Points

EPOCHS = 10


@pytest.fixture
def points(tmp_path: Path) -> Points:
    """Those of three optimizers."""
    return points_of(space_in(tmp_path), EPOCHS)


def drawn(points: Points, seeds: Sequence[int]) -> list[Point]:
    """Points that do not diverge by the law."""
    found = [points.draw(seed) for seed in seeds]
    return [
        point
        for point in found
        if point is not None and len(losses(point.constants, point.rates)) == EPOCHS
    ]


def model_of(points: Points, trained: Sequence[Point], granted: int = EPOCHS) -> EpochModel:
    """Fitted to so many epochs of some points."""
    trials = [trial_of(it, number=at, granted=granted) for at, it in enumerate(trained)]
    return EpochModel(Curves(trials, points, maximize=False), seed=0)


def truth(points: Sequence[Point]) -> np.ndarray:
    """The lowest value of each by the law."""
    return np.array([min(map(math.log, losses(it.constants, it.rates))) for it in points])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of ranks."""
    ranks = [np.argsort(np.argsort(it)) for it in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_what_schedules_make_of_a_point_is_foreseen_from_other_points(points: Points) -> None:
    """Of points of which no epoch is known, after twenty that were trained."""
    trained, others = drawn(points, range(22)), drawn(points, range(100, 180))
    forecast = model_of(points, trained).forecast(others)
    assert forecast.shape == (TREES, len(others), EPOCHS)
    assert correlation(forecast.min(axis=2).mean(axis=0), truth(others)) > 0.8


def test_what_is_known_of_a_point_makes_its_forecast_better(points: Points) -> None:
    """After its first epochs the rest is nearer to what it will be than before."""
    trained = drawn(points, range(60))
    begun = trained[20:]
    blind = model_of(points, trained[:20]).forecast(begun)
    trials = [
        trial_of(it, number=at, granted=EPOCHS if at < 20 else 4) for at, it in enumerate(trained)
    ]
    seeing = EpochModel(Curves(trials, points, maximize=False), seed=0).forecast(begun)
    errors = [np.abs(it.min(axis=2).mean(axis=0) - truth(begun)).mean() for it in (blind, seeing)]
    assert errors[1] < errors[0] / 2


def test_known_epochs_are_what_they_are(points: Points) -> None:
    """In every tree, exactly; the others differ from tree to tree."""
    trained = drawn(points, range(15))
    forecast = model_of(points, trained, granted=4).forecast(trained)
    for place, point in enumerate(trained):
        known = [math.log(value) for value in losses(point.constants, point.rates)[:4]]
        assert (forecast[:, place, :4] == known).all()
    assert np.isfinite(forecast).all()
    assert (forecast[:, :, 4:].std(axis=0) > 0).any()


def test_what_diverged_stays_so(points: Points) -> None:
    """From the epoch on that is known to have diverged, nothing but infinity is foreseen."""
    point = points.of({"optimizer": "SGD", "SGD.lr_index": 9, "step_size": 8, "gamma": 0.5})
    assert point is not None
    trials = [
        trial_of(it, number=at, granted=EPOCHS) for at, it in enumerate(drawn(points, range(9)))
    ]
    trials.append(trial_of(point, [2.3, 2.9], number=9, diverged=True))
    model = EpochModel(Curves(trials, points, maximize=False), seed=0)
    forecast = model.forecast([point, *drawn(points, range(50, 60))])
    assert np.isfinite(forecast[:, 0, :2]).all()
    assert np.isposinf(forecast[:, 0, 2:]).all()
    assert np.isfinite(forecast[:, 1:]).all()


def test_what_diverges_is_foreseen_to_be_bad(points: Points) -> None:
    """Where lower and higher rates diverged, a rate between them is expected to be no good."""
    good = drawn(points, range(20))
    params = {"optimizer": "SGD", "step_size": 8, "gamma": 0.5}
    made = [points.of({**params, "SGD.lr_index": place}) for place in (5, 7, 8, 9)]
    fine, low, between, high = (point for point in made if point is not None)
    trials = [trial_of(it, number=at, granted=EPOCHS) for at, it in enumerate([*good, low, high])]
    curves = Curves(trials, points, maximize=False)
    assert [curve.diverged for curve in curves.all[-2:]] == [True, True]
    forecast = EpochModel(curves, seed=0).forecast([fine, between]).min(axis=2).mean(axis=0)
    assert forecast[1] > forecast[0] + 0.5


def test_the_same_seed_gives_the_same_forecast(points: Points, tmp_path: Path) -> None:
    """To the last bit, in another process too, whatever points were made there before."""
    forecasts = []
    for first in (0, 500):
        anew = points_of(space_in(tmp_path), EPOCHS)
        drawn(anew, range(first, first + 20))
        forecasts.append(
            model_of(anew, drawn(anew, range(12)), 5).forecast(drawn(anew, range(100, 120)))
        )
    assert (forecasts[0] == forecasts[1]).all()
    curves = Curves(
        [trial_of(it, number=at) for at, it in enumerate(drawn(points, range(12)))],
        points,
        maximize=False,
    )
    others = drawn(points, range(100, 120))
    one, other = (EpochModel(curves, seed).forecast(others) for seed in (0, 1))
    assert (one != other).any()


def test_what_no_trial_has_had_is_foreseen_all_the_same(points: Points) -> None:
    """An optimizer that was never tried is like the mean of those that were."""
    trained = [it for it in drawn(points, range(40)) if it.params["optimizer"] != "SGD"]
    others = [it for it in drawn(points, range(100, 140)) if it.params["optimizer"] == "SGD"]
    forecast = model_of(points, trained).forecast(others)
    assert np.isfinite(forecast).all()


def test_a_single_epoch_is_enough_for_a_forecast(points: Points) -> None:
    """Of one trial, which was suspended after it."""
    trained, others = drawn(points, range(3))[:1], drawn(points, range(10, 20))[:4]
    forecast = model_of(points, trained, granted=1).forecast([*trained, *others])
    assert forecast.shape == (TREES, 5, EPOCHS)
    assert np.isfinite(forecast).all()


def test_numbers_of_one_trial_alone_are_no_hindrance(tmp_path: Path) -> None:
    """A constant that some points lack and others have as a number, a text or a truth."""
    text = """
    optimizer = ["SGD", "Adam"]
    shuffle = [true, false]
    [when.optimizer.SGD]
    momentum = { low = 0.0, high = 0.9 }
    """
    points = points_of(space_in(tmp_path, text), epochs=3)
    found = [it for it in map(points.draw, range(12)) if it is not None]
    trials = [trial_of(it, [2.0, 1.5], number=at) for at, it in enumerate(found[:6])]
    forecast = EpochModel(Curves(trials, points, maximize=False), seed=0).forecast(found)
    assert np.isfinite(forecast).all()
