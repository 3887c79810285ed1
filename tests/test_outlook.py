"""What could be trained next: a function of the study's trials alone."""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from laws import outlook_of, space_in, trial_of
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.outlook import Outlook
from sweeps.search.allocation.points import Point
from sweeps.space import Space


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """That of three optimizers."""
    return space_in(tmp_path)


def suggested(outlook: Outlook, trials: Sequence[FrozenTrial]) -> Point:
    """The next point of a study."""
    return outlook.suggestion(outlook.curves(trials))


def grown(outlook: Outlook, count: int, granted: int = 4) -> list[FrozenTrial]:
    """A study that has taken so many suggestions, each suspended after some epochs by the law."""
    trials: list[FrozenTrial] = []
    for number in range(count):
        point = suggested(outlook, trials)
        trials.append(trial_of(point, number=number, granted=granted))
    return trials


@pytest.mark.slow
def test_the_same_trials_give_the_same_suggestions_in_another_process(space: Space) -> None:
    """Whatever was asked there before, at every length of the study."""
    trials = grown(outlook_of(space), 12)
    for length in (0, 4, 11):
        anew = outlook_of(space)
        for seed in random.Random(length).sample(range(5000), 20):  # other points are made first
            anew.points.draw(seed)
        assert suggested(anew, trials[:length]).key == tuple(sorted(trials[length].params.items()))
    ways = [
        [(it.point.key, it.trial, it.gain_per_epoch) for it in candidates_of(space, trials)]
        for _ in "ab"
    ]
    assert ways[0] == ways[1]


def candidates_of(space: Space, trials: Sequence[FrozenTrial]) -> list:
    """What an outlook of another process weighs."""
    outlook = outlook_of(space)
    return outlook.candidates(outlook.curves(trials))


@pytest.mark.slow
def test_an_outlook_that_was_asked_before_says_what_a_new_one_does(space: Space) -> None:
    """Also where a trial has only ended meanwhile, with the values that it had."""
    outlook = outlook_of(space)
    trials = grown(outlook, 11)
    outlook.candidates(outlook.curves(trials))
    place = next(at for at, it in enumerate(trials) if it.state == TrialState.RUNNING)
    trials[place] = trial_of(
        suggested(outlook_of(space), trials[:place]),
        number=place,
        granted=4,
        state=TrialState.PRUNED,
    )
    told = [(it.point.key, it.trial) for it in outlook.candidates(outlook.curves(trials))]
    assert told == [(it.point.key, it.trial) for it in candidates_of(space, trials)]
    assert place not in {trial for _, trial in told}


def test_searches_of_other_seeds_begin_elsewhere(space: Space) -> None:
    """The first suggestions of five seeds are not one and the same."""
    assert len({suggested(outlook_of(space, seed=seed), []).key for seed in range(5)}) > 1


def test_each_optimizer_is_tried_among_the_first_ones(space: Space) -> None:
    """With any seed, and with rates that differ; and not at the ends of their ranges first."""
    for seed in range(3):
        outlook = outlook_of(space, seed=seed)
        trials = grown(outlook, 9)
        optimizers = [trial.params["optimizer"] for trial in trials]
        assert {*optimizers[:3]} == {"SGD", "Adam", "RMSprop"}
        assert len({outlook.points.of(trial.params).rates[0] for trial in trials}) >= 5
        assert 0 < trials[0].params[f"{optimizers[0]}.lr_index"] < 9


@pytest.mark.slow
def test_no_suggestion_is_known_or_pending_or_beyond_the_border(space: Space) -> None:
    """As long as the space has others: while it is spread, and when the model is asked."""
    outlook = outlook_of(space)
    trials: list[FrozenTrial] = []
    for number in range(18):
        curves = outlook.curves(trials)
        point = outlook.suggestion(curves)
        assert not curves.is_known(point)
        assert not curves.is_beyond(point)
        if number >= outlook.start_trials:
            assert not curves.is_pending(point)
        granted = 8 if number % 3 else 2
        state = TrialState.COMPLETE if number % 3 else TrialState.RUNNING
        diverges = len(trial_of(point).intermediate_values) < 8
        trials.append(
            trial_of(point, number=number, granted=granted)
            if diverges
            else trial_of(point, number=number, granted=granted, state=state)
        )
    assert any(trial.constraints for trial in trials)


def test_what_nobody_has_trained_is_preferred_to_what_is_known(tmp_path: Path) -> None:
    """In a space of four points, three of which are known, the fourth is next."""
    space = space_in(tmp_path, 'optimizer = "SGD"\nlr = [0.01, 0.02, 0.05, 0.1]')
    outlook = outlook_of(space, epochs=3)
    seen = set()
    trials: list[FrozenTrial] = []
    for number in range(4):
        point = suggested(outlook, trials)
        seen.add(point.key)
        trials.append(trial_of(point, number=number, state=TrialState.COMPLETE))
    assert len(seen) == 4


def test_what_waits_for_epochs_is_preferred_to_what_has_them_all(tmp_path: Path) -> None:
    """Where every point has a trial, one that is suspended can still teach something."""
    space = space_in(
        tmp_path, 'optimizer = "SGD"\nlr = { low = 0.01, high = 0.05, grid = "1-2-5" }'
    )
    outlook = outlook_of(space, epochs=3)
    points = [outlook.points.of({"lr_index": place}) for place in range(3)]
    trials = [
        trial_of(points[0], number=0, granted=1),
        trial_of(points[1], number=1, state=TrialState.COMPLETE),  # in the middle of the space
        trial_of(points[2], number=2, granted=1),
    ]
    assert suggested(outlook, trials) is not points[1]


def test_a_space_that_is_used_up_still_gives_suggestions(tmp_path: Path) -> None:
    """Valid ones, as a trial was asked for; where nothing can be trained there is no chance."""
    space = space_in(tmp_path, 'optimizer = "SGD"\nlr = [0.01, 0.02]')
    outlook = outlook_of(space, epochs=3)
    trials: list[FrozenTrial] = []
    for number in range(14):
        point = suggested(outlook, trials)
        assert outlook.points.of(point.params) is point
        trials.append(trial_of(point, number=number, state=TrialState.COMPLETE))
    assert outlook.candidates(outlook.curves(trials)) == []


def test_where_all_diverged_the_search_goes_lower(tmp_path: Path) -> None:
    """What lies beyond the border is left alone as long as anything else was drawn."""
    space = space_in(tmp_path, 'optimizer = "SGD"\nlr = { low = 1e-3, high = 1.0, grid = "1-2-5" }')
    outlook = outlook_of(space, epochs=3)
    point = outlook.points.of({"lr_index": 2})
    assert point is not None
    trials = [trial_of(point, [], number=0, diverged=True)]
    for number in range(1, 12):
        point = suggested(outlook, trials)
        assert point.rates[0] < 0.005
        trials.append(trial_of(point, [], number=number, granted=1))


@pytest.mark.slow
def test_candidates_are_suspended_trials_and_new_points_whose_next_epoch_is_not_known(
    space: Space,
) -> None:
    """Each once, with what it gains at least 0 and what it costs at least an epoch."""
    outlook = outlook_of(space)
    trials = grown(outlook, 12)
    trials[-1] = trial_of(
        outlook.points.of(trials[-1].params), [2.2], number=11, granted=4
    )  # is being trained
    curves = outlook.curves(trials)
    candidates = outlook.candidates(curves)
    suspended = {curve.number for curve in curves.own if curve.suspended}
    assert {it.trial for it in candidates if it.trial is not None} <= suspended
    assert 11 not in suspended
    keys = [it.point.key for it in candidates]
    assert len(keys) == len(set(keys))
    assert any(it.trial is None for it in candidates)
    for chance in candidates:
        assert chance.known == curves.depth(chance.point) < 8
        assert not curves.is_pending(chance.point)
        assert not curves.is_beyond(chance.point)
        assert 0 <= chance.gain < math.inf
        assert 1 <= chance.cost <= 8 - chance.known


@pytest.mark.slow
def test_the_model_leads_to_good_points(space: Space) -> None:
    """By the law; better than those drawn at random, at the same number of epochs."""
    outlook = outlook_of(space)
    trials = grown(outlook, 20, granted=8)
    best = min(min(it.intermediate_values.values(), default=9) for it in trials[10:])
    drawn = [outlook.points.draw(seed) for seed in range(300)]
    random_ones = sorted(
        min(trial_of(it).intermediate_values.values(), default=9) for it in drawn if it is not None
    )
    assert best <= random_ones[len(random_ones) // 20]
