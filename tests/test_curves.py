"""What a study has trained so far, read from its trials alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from laws import SCHEDULES, losses, points_of, space_in, trial_of
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.curves import DIVERGED_ATTR, EPOCHS, Curves
from sweeps.search.allocation.points import Point, Points
from trainer.settings.config import TrainConfig

EPOCHS_OF_ALL = 8


@pytest.fixture
def points(tmp_path: Path) -> Points:
    """Those of three optimizers."""
    return points_of(space_in(tmp_path))


def point_of(points: Points, optimizer: str, place: int, step_size: int, gamma: float) -> Point:
    """One of them."""
    params = {"optimizer": optimizer, f"{optimizer}.lr_index": place, "step_size": step_size}
    point = points.of({**params, "gamma": gamma})
    assert point is not None
    return point


def curves_of(points: Points, *trials: FrozenTrial, maximize: bool = False) -> Curves:
    """The curves of trials, numbered as they come."""
    for number, trial in enumerate(trials):
        trial.number = number
    return Curves(trials, points, maximize=maximize)


@pytest.mark.parametrize(
    ("values", "maximize"),
    [
        ([2.3, 1.9, 2.0, 1.1], False),
        ([0.1, 0.5, 0.3, 0.9], True),
        ([1.0, 0.0, 0.5, 0.25], True),
        ([-2.0, -3.5, 0.0, 4.0], False),
        ([-2.0, 3.5, 0.0, 40.0], True),
        ([0.0, 0.0, 0.0], False),
        ([1e-9, 1e9, 3.0], False),
    ],
)
def test_values_keep_their_order_and_the_lowest_is_the_best(
    values: Sequence[float], maximize: bool, points: Points
) -> None:
    """Losses, shares and any other numbers, whether more of them is better or less."""
    trial = trial_of(point_of(points, "SGD", 3, 2, 0.5), values)
    (curve,) = curves_of(points, trial, maximize=maximize).all
    assert all(map(math.isfinite, curve.values))
    order = sorted(range(len(values)), key=lambda at: -values[at] if maximize else values[at])
    assert sorted(range(len(values)), key=lambda at: curve.values[at]) == order
    best = max(values) if maximize else min(values)
    assert curve.best == curve.values[values.index(best)]


def test_halving_a_loss_is_the_same_step_wherever_it_is(points: Points) -> None:
    """As is halving what an accuracy lacks, but for what lies within a hundredth of its best."""
    trial = trial_of(point_of(points, "SGD", 3, 2, 0.5), [4.0, 2.0, 1.0])
    first, second, third = curves_of(points, trial).all[0].values
    assert first - second == pytest.approx(second - third)
    trial = trial_of(point_of(points, "SGD", 3, 2, 0.5), [0.2, 0.6, 0.8])
    first, second, third = curves_of(points, trial, maximize=True).all[0].values
    assert first - second == pytest.approx(second - third, rel=0.05)


def test_the_unit_of_other_values_does_not_matter(points: Points) -> None:
    """Steps are in deviations of all values."""
    point = point_of(points, "SGD", 3, 2, 0.5)
    one = curves_of(points, trial_of(point, [-1.0, 2.0, 0.5])).all[0].values
    other = curves_of(points, trial_of(point, [-1000.0, 2000.0, 500.0])).all[0].values
    assert one == pytest.approx(other)


def test_shared_epochs_count_once(tmp_path: Path) -> None:
    """Trials of one family of rates spend what is distinct, and know of each other's epochs."""
    points = points_of(space_in(tmp_path, SCHEDULES), EPOCHS_OF_ALL)
    first, second = (points.of({"step_size": it, "gamma": 0.5}) for it in (3, 5))
    assert first is not None
    assert second is not None
    trials = [trial_of(first, [2.0, 1.9, 1.8, 1.7]), trial_of(second, [2.0, 1.9], granted=6)]
    curves = curves_of(points, *trials)
    assert len(curves.known) == 4
    assert curves.depth(first) == 4
    assert curves.depth(second) == 3
    assert curves.depth_of(trials[1]) == 3
    granted_to_both = {*first.nodes, *second.nodes[:6]}
    assert curves.pending == granted_to_both - {*first.nodes[:4]} | {second.nodes[2]}
    assert curves.spent == len(granted_to_both)


def test_what_a_trial_is_granted_is_pending_until_it_is_known(points: Points) -> None:
    """A running trial that has not used its grant up is not suspended, and what it waits for is on
    its way."""
    point = point_of(points, "Adam", 3, 2, 0.5)
    for values, suspended in ((0, False), (3, False), (4, True)):
        trial = trial_of(point, losses(point.constants, point.rates)[:values], granted=4)
        curves = curves_of(points, trial)
        (curve,) = curves.all
        assert curve.suspended is suspended
        assert curve.running
        assert curves.pending == set(point.nodes[values:4])
        assert curves.is_pending(point) is not suspended
        assert not curves.is_known(point)
        assert curves.spent == 4


def test_a_trial_that_nobody_grants_epochs_has_all_of_them_pending(points: Points) -> None:
    """As in any study of Optuna's, and nothing where it has ended."""
    point = point_of(points, "Adam", 3, 2, 0.5)
    curves = curves_of(points, trial_of(point, [2.0]))
    assert curves.is_known(point)
    assert curves.pending == set(point.nodes[1:])
    ended = curves_of(points, trial_of(point, [2.0], state=TrialState.PRUNED))
    assert ended.pending == set()
    assert not ended.all[0].suspended


@pytest.mark.parametrize("how", ["constraint", "penalty", "infinity", "nan"])
def test_an_epoch_that_diverged_is_known_as_such_however_optuna_has_it(
    how: str, points: Points
) -> None:
    """Nothing that comes after it is worth an epoch: neither of the trial nor of any like it."""
    point = point_of(points, "Adam", 6, 3, 0.5)
    like = point_of(points, "Adam", 6, 5, 0.5)
    if how == "constraint":
        trial = trial_of(point, [2.0], diverged=True, attrs={EPOCHS: 2})
    elif how == "penalty":
        trial = trial_of(
            point,
            [2.0],
            state=TrialState.COMPLETE,
            diverged=False,
            attrs={DIVERGED_ATTR: True, EPOCHS: 2},
        )
    else:
        reported = [2.0, math.inf if how == "infinity" else math.nan]
        trial = trial_of(point, reported, state=TrialState.PRUNED)
    curves = curves_of(points, trial)
    assert curves.all[0].diverged
    assert curves.all[0].values == (math.log(2.0),)
    assert curves.known == {point.nodes[0]: math.log(2.0), point.nodes[1]: math.inf}
    assert curves.is_known(point)
    assert curves.is_known(like)
    assert curves.depth(like) == EPOCHS_OF_ALL
    assert curves.spent == 2


def test_beyond_the_border_of_divergence_rates_are_nowhere_lower(points: Points) -> None:
    """Up to the epoch that diverged, of the same optimizer; what comes later does not matter."""
    trial = trial_of(point_of(points, "SGD", 6, 2, 0.5), [2.0], diverged=True)  # in epoch 2
    curves = curves_of(points, trial)
    assert curves.is_beyond(point_of(points, "SGD", 6, 2, 0.1))
    assert curves.is_beyond(point_of(points, "SGD", 7, 5, 0.9))
    assert not curves.is_beyond(point_of(points, "SGD", 6, 1, 0.9))
    assert not curves.is_beyond(point_of(points, "SGD", 5, 5, 0.9))
    assert not curves.is_beyond(point_of(points, "RMSprop", 6, 5, 0.9))


def test_of_two_objectives_no_epoch_is_taken_for_one_that_diverged(points: Points) -> None:
    """None is reported then, so that the epoch which diverged need not be the first."""
    point = point_of(points, "SGD", 6, 2, 0.5)
    curves = curves_of(points, trial_of(point, [], diverged=True, attrs={EPOCHS: 4}))
    assert curves.known == {}
    assert not curves.is_known(point)
    assert not curves.is_beyond(point)


def test_trials_that_failed_or_wait_are_left_out(points: Points) -> None:
    """They have taught nothing."""
    point = point_of(points, "Adam", 3, 2, 0.5)
    states = (TrialState.FAIL, TrialState.WAITING)
    curves = curves_of(points, *(trial_of(point, [2.0], state=state) for state in states))
    assert curves.all == []
    assert math.isinf(curves.best)
    assert curves.spent == 0


def test_trials_that_are_no_points_of_the_space_are_left_out(points: Points) -> None:
    """Such as one that was asked for in a process that died before it had its values."""
    trial = trial_of(point_of(points, "Adam", 3, 2, 0.5), [2.0])
    asked = optuna.create_study().ask()
    study = asked.study.get_trials()
    assert curves_of(points, *study, trial).all[0].values == (math.log(2.0),)
    assert len(curves_of(points, *study, trial).all) == 1


def test_other_kinds_teach_and_do_not_count(tmp_path: Path) -> None:
    """Their epochs are known, but are no result and no cost of this kind."""
    space = space_in(tmp_path)
    adam = Points(space, TrainConfig(device="cpu", epochs=8), 100, {"optimizer": "Adam"})
    mine, other = point_of(adam, "Adam", 3, 2, 0.5), point_of(adam, "SGD", 3, 2, 0.5)
    curves = curves_of(adam, trial_of(mine, [2.0]), trial_of(other, [1.0, 0.5]))
    assert [curve.number for curve in curves.all] == [0, 1]
    assert [curve.number for curve in curves.own] == [0]
    assert curves.best == math.log(2.0)
    assert other.nodes[1] in curves.known


@pytest.mark.parametrize(
    "values", [[0.5, 0.3, 0.2], [0.5, -0.3, 4.0]], ids=["losses", "any numbers"]
)
def test_what_is_remembered_of_finished_trials_changes_no_curve(
    values: Sequence[float], points: Points
) -> None:
    """Nor does a trial that goes from running to ended, or values that change the scale of all."""
    memory: dict[int, Any] = {}
    trials: list[FrozenTrial] = []
    for number, value in enumerate(values):
        point = point_of(points, "SGD", number, 2, 0.5)
        for state in (TrialState.RUNNING, TrialState.COMPLETE):
            trial = trial_of(point, [value, value + 1], state=state)
            trial.number = number
            trials = [*trials[:number], trial]
            plain = Curves(trials, points, maximize=False)
            quick = Curves(trials, points, maximize=False, memory=memory)
            assert (quick.all, quick.own) == (plain.all, plain.own)
            assert (quick.known, quick.reported) == (plain.known, plain.reported)
            assert quick.pending == plain.pending
    assert memory.keys() == {*range(len(values))}
