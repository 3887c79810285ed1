"""Who gets the next epochs: promotion as in the paper, on small scripted studies."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from laws import SCHEDULES, outlook_of, space_in, trial_of
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.grants import BEGIN, PromotionPruner, WholeTrials
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.allocation.points import Point

PLACES = "optimizer = 'SGD'\nlr = { low = 1e-3, high = 1.0, grid = '1-2-5' }\nstep_size = [4, 8]"


@pytest.fixture
def outlook(tmp_path: Path) -> Outlook:
    """Of ten rates, which share no epoch, with two schedules that share the first four."""
    return outlook_of(space_in(tmp_path, PLACES))


def point_of(outlook: Outlook, place: int, step_size: int = 8) -> Point:
    """The one of a rate."""
    point = outlook.points.of({"lr_index": place, "step_size": step_size})
    assert point is not None
    return point


def study_of(outlook: Outlook, *curves: Sequence[float]) -> list[FrozenTrial]:
    """Trials of one rate each, suspended with these values."""
    return [
        trial_of(point_of(outlook, place), values, number=place, granted=len(values))
        for place, values in enumerate(curves)
    ]


def test_the_best_of_a_rung_are_promoted_until_so_many_were(outlook: Outlook) -> None:
    """One of two, by what each had at its best so far, from the highest rung that has one."""
    pruner = PromotionPruner(min_resource=1, reduction_factor=2)
    curves = {0: [2.0], 1: [1.8, 1.7], 2: [1.9, 1.6, 1.6, 1.5], 3: [2.1]}
    trials = study_of(outlook, *(values[:1] for values in curves.values()))
    steps = []
    while (grant := pruner.next(outlook, trials, left=0)) is not None:
        assert grant.trial is not None
        steps.append((grant.trial, grant.epochs))
        trials[grant.trial] = trial_of(
            point_of(outlook, grant.trial),
            curves[grant.trial][: grant.epochs],
            number=grant.trial,
            granted=grant.epochs,
        )
    assert steps == [(1, 2), (2, 2), (2, 4)]  # at the second rung 2 turns out to be better


def test_with_too_few_results_a_new_trial_is_begun(outlook: Outlook) -> None:
    """One result of three is promoted; of two none is, and with none left nothing is done."""
    pruner = PromotionPruner(min_resource=2, reduction_factor=3)
    two = study_of(outlook, [2.0, 1.9], [1.8, 1.9])
    assert pruner.next(outlook, two, left=1) == BEGIN
    assert pruner.next(outlook, two, left=0) is None
    assert pruner.next(outlook, [], left=1) == BEGIN
    assert pruner.next(outlook, [], left=0) is None
    grant = pruner.next(outlook, study_of(outlook, [2.0, 1.9], [1.8, 1.9], [2.0, 2.0]), left=1)
    assert grant is not None
    assert (grant.trial, grant.epochs) == (1, 6)


def test_the_last_rung_is_the_end(outlook: Outlook) -> None:
    """Rungs are so many times as far, and never farther than a trial has epochs."""
    pruner = PromotionPruner(min_resource=1, reduction_factor=3)
    trials = study_of(outlook, [2.0] * 3, [1.9] * 3, [1.8] * 3)
    grant = pruner.next(outlook, trials, left=1)
    assert grant is not None
    assert (grant.trial, grant.epochs) == (2, 8)
    trials[2] = trial_of(
        point_of(outlook, 2), [1.8] * 8, number=2, granted=8, state=TrialState.COMPLETE
    )
    assert pruner.next(outlook, trials, left=0) is None


def test_names_of_one_result_count_once(tmp_path: Path) -> None:
    """Five schedules that share what the rung judges are one result, which is promoted once."""
    outlook = outlook_of(space_in(tmp_path, "optimizer = 'SGD'\nlr = [0.01, 0.02]\n" + SCHEDULES))
    pruner = PromotionPruner(min_resource=2, reduction_factor=2)
    trials = []
    for number, step_size in enumerate((3, 4, 5, 6, 7)):
        point = outlook.points.of({"lr": 0.01, "step_size": step_size, "gamma": 0.5})
        assert point is not None
        trials.append(trial_of(point, [2.0, 1.5], number=number, granted=2))
    assert pruner.next(outlook, trials, left=1) == BEGIN  # one result is not the best of two
    other = outlook.points.of({"lr": 0.02, "step_size": 8, "gamma": 0.5})
    assert other is not None
    trials.append(trial_of(other, [2.0, 1.6], number=5, granted=2))
    grant = pruner.next(outlook, trials, left=1)
    assert grant is not None
    assert (grant.trial, grant.epochs) == (0, 4)
    promoted = outlook.points.of(trials[0].params)
    assert promoted is not None
    trials[0] = trial_of(promoted, [2.0, 1.5], number=0, granted=4)
    assert pruner.next(outlook, trials, left=1) == BEGIN
    assert pruner.next(outlook, trials, left=0) is None


def test_what_diverged_is_the_worst_result_and_never_promoted(outlook: Outlook) -> None:
    """It counts among the results of the rung that it did not reach; alone it promotes nothing."""
    pruner = PromotionPruner(min_resource=2, reduction_factor=2)
    diverged = [
        trial_of(point_of(outlook, place), [2.0], number=place, diverged=True) for place in (8, 9)
    ]
    assert pruner.next(outlook, diverged, left=0) is None
    grant = pruner.next(outlook, [*study_of(outlook, [9.0, 9.0]), *diverged], left=1)
    assert grant is not None
    assert grant.trial == 0


def test_schedules_that_diverged_in_a_shared_epoch_are_one_result(outlook: Outlook) -> None:
    """Else a rate that diverges, tried often, would promote whatever else there is."""
    pruner = PromotionPruner(min_resource=6, reduction_factor=3)
    alike = [
        trial_of(point_of(outlook, 9, step_size), [], number=number, diverged=True)
        for number, step_size in enumerate((4, 8))
    ]
    good = trial_of(point_of(outlook, 0), [2.0] * 6, number=2, granted=6)
    assert pruner.next(outlook, [*alike, good], left=0) is None
    alike[1] = trial_of(point_of(outlook, 8), [], number=1, diverged=True)
    grant = pruner.next(outlook, [*alike, good], left=0)
    assert grant is not None
    assert grant.trial == 2


def test_equal_results_are_promoted_in_the_order_of_their_trials(outlook: Outlook) -> None:
    """Whichever point this process came to know first: accuracies are often equal."""
    for place in reversed(range(4)):
        point_of(outlook, place)
    grant = PromotionPruner(1, 2).next(outlook, study_of(outlook, *[[2.0]] * 4), left=0)
    assert grant is not None
    assert grant.trial == 0


def test_a_result_is_not_promoted_while_it_is_on_its_way(outlook: Outlook) -> None:
    """A trial that is being trained has no result at its next rung, and is not promoted again."""
    trials = study_of(outlook, [2.0], [1.8])
    trials[1] = trial_of(point_of(outlook, 1), [1.8], number=1, granted=2)
    assert PromotionPruner(1, 2).next(outlook, trials, left=1) == BEGIN
    assert PromotionPruner(1, 2).next(outlook, trials, left=0) is None


def test_a_new_trial_goes_to_the_first_rung_whose_result_is_not_known(outlook: Outlook) -> None:
    """What other trials have trained is not waited for again."""
    pruner = PromotionPruner(1, 2)
    begun = study_of(outlook, [2.0, 1.9, 1.8])
    new = trial_of(point_of(outlook, 0, step_size=4), [], number=1)
    assert pruner.first(outlook, [], new) == 1
    assert pruner.first(outlook, begun, new) == 4
    whole = trial_of(point_of(outlook, 0), [2.0] * 8, state=TrialState.COMPLETE)
    assert pruner.first(outlook, [whole], trial_of(point_of(outlook, 0), [], number=1)) == 8


def test_trials_that_are_never_suspended_are_begun_until_there_are_enough(
    outlook: Outlook,
) -> None:
    """Each with all its epochs."""
    whole = WholeTrials()
    trials = study_of(outlook, [2.0])
    assert whole.next(outlook, trials, left=1) == BEGIN
    assert whole.next(outlook, trials, left=0) is None
    assert whole.first(outlook, [], trials[0]) == 8


@pytest.mark.parametrize(
    ("least", "factor", "words"), [(0, 2, "min_resource"), (1, 1, "reduction_factor")]
)
def test_rungs_that_cannot_be_are_refused(least: int, factor: int, words: str) -> None:
    """With what was got."""
    with pytest.raises(ValueError, match=f"{words} must be at least"):
        PromotionPruner(least, factor)
