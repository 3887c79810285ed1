"""Pruners stop what they say they stop, and answer the same however often they are asked."""

import random
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.pruners import BasePruner, SuccessiveHalvingPruner

from sweeps.search.pruning import (
    FIRST_RUNG,
    PATIENCE,
    PRUNERS,
    REDUCTION,
    Hyperband,
    least_epochs,
    make_pruner,
)
from trainer.errors import ConfigError

EPOCHS = 20

ARGS: dict[str, dict[str, Any]] = {"ThresholdPruner": {"upper": 2.2}}
"""Arguments of pruners that cannot be made without any."""

MIRRORED: dict[str, dict[str, Any]] = {"ThresholdPruner": {"lower": -2.2}}
"""The same for an objective of which more is better."""

LENGTH = {"WilcoxonPruner": {"epochs": 7}}
"""Curves of pruners that need short ones: scipy permutes ties, in 2**epochs steps."""

NONE = ("none", "NopPruner", "FrugalPruner", "PromotionPruner")
"""Those that stop no trial; the last two suspend it."""


def made(name: str, epochs: int = EPOCHS, mirrored: bool = False) -> BasePruner:
    """A pruner by its name."""
    return make_pruner(name, (MIRRORED if mirrored else ARGS).get(name, {}), epochs)


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Optuna says nothing of each trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def curves(seed: int, trials: int = 40, epochs: int = EPOCHS) -> Iterator[list[float]]:
    """Best values so far of trials: some get no better from some epoch on, and some are alike."""
    draw = random.Random(seed)
    for _ in range(trials):
        level, stuck, curve = draw.choice((1.0, 1.5, 2.0)), draw.randint(1, 40), [3.0]
        for epoch in range(1, epochs + 1):
            value = level + draw.choice((0.4, 0.5)) / min(epoch, stuck)
            curve.append(min(curve[-1], round(value, 2)))
        yield curve[1:]


def verdicts(
    pruner: BasePruner, again: BasePruner | None = None, sign: int = 1, **changes: int
) -> list[list[bool]]:
    """What a pruner says after each epoch of each trial, of some that train side by side.

    Args:
        pruner: asked first.
        again: asked the same once more, as by a process that takes the trial up.
        sign: -1 makes more of the objective better.
        **changes: of `curves`.
    """
    direction = "minimize" if sign == 1 else "maximize"
    study = optuna.create_study(direction=direction, pruner=pruner)
    live = [(study.ask(), curve, 1) for curve in curves(**{"seed": 0, **changes})]
    said: list[list[bool]] = [[] for _ in live]
    while live:
        trial, curve, epoch = live.pop(0)
        value = sign * curve[epoch - 1]
        trial.report(value, step=epoch)
        verdict = epoch < len(curve) and trial.should_prune()
        if again is not None and epoch < len(curve):
            other = optuna.load_study(
                study_name=study.study_name, storage=study._storage, pruner=again
            )
            assert optuna.Trial(other, trial._trial_id).should_prune() == verdict
        said[trial.number].append(verdict)
        if verdict:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif epoch == len(curve):
            study.tell(trial, value)
        else:  # three train side by side
            live.insert(min(2, len(live)), (trial, curve, epoch + 1))
    return said


@pytest.mark.parametrize("name", PRUNERS.names)
def test_a_verdict_that_is_asked_for_again_is_the_same(name: str) -> None:
    """A crash between report and verdict, or after it, changes no trial's fate."""
    length = LENGTH.get(name, {})
    said = verdicts(made(name), again=made(name), **length)
    assert any(map(any, said)) == (name not in NONE)
    assert not all(map(any, said))
    assert said == verdicts(made(name), **length)


@pytest.mark.parametrize("name", PRUNERS.names)
def test_more_can_be_better(name: str) -> None:
    """Turned upside down the same curves get the same verdicts."""
    length = LENGTH.get(name, {})
    said = verdicts(made(name), **length)
    assert said == verdicts(made(name, mirrored=True), sign=-1, **length)


@pytest.mark.parametrize(
    ("name", "kept"), [("PercentilePruner", 1), ("MedianPruner", 2), ("none", 5)]
)
def test_the_pruners_keep_the_share_they_say(name: str, kept: int) -> None:
    """Against five complete trials of values 1 to 5 a trial continues within the share it names."""
    study = optuna.create_study(pruner=made(name))
    for result in range(1, 6):
        trial = study.ask()
        trial.report(result, step=1)
        study.tell(trial, result)
    going_on = []
    for result in range(1, 6):
        trial = study.ask()
        trial.report(result + 0.5 if name == "none" else result, step=1)
        going_on.append(not trial.should_prune())
    assert sum(going_on) >= kept
    assert going_on == sorted(going_on, reverse=True)
    assert all(going_on) == (name == "none")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_halving_decides_as_optunas_does(seed: int, sign: int) -> None:
    """Asked once after each epoch, the two differ in no verdict."""
    optunas = SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=REDUCTION)
    assert verdicts(made("SuccessiveHalvingPruner"), seed=seed, sign=sign) == verdicts(
        optunas, seed=seed, sign=sign
    )


def test_optunas_halving_answers_otherwise_when_asked_again() -> None:
    """Should this fail, Optuna's own will do."""
    with pytest.raises(AssertionError):
        verdicts(*(SuccessiveHalvingPruner(min_resource=2, reduction_factor=3) for _ in range(2)))


def test_each_bracket_of_hyperband_begins_at_its_own_rung() -> None:
    """Most trials are in the bracket that begins first; all brackets have some."""
    pruner = Hyperband(EPOCHS)
    brackets = [pruner.bracket(number) for number in range(60)]
    counts = [brackets.count(bracket) for bracket in range(3)]
    assert sum(counts) == 60
    assert counts == sorted(counts, reverse=True)
    assert counts[2] > 0
    stopped: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for number, said in enumerate(verdicts(pruner, trials=60)):
        stopped[brackets[number]] |= {epoch for epoch, stop in enumerate(said, start=1) if stop}
    assert stopped == {0: {1, 3, 9}, 1: {3, 9}, 2: {9}}


def test_patience_ends_when_nothing_got_better_for_so_long() -> None:
    """It counts from the last better value, whatever other trials have."""
    study = optuna.create_study(pruner=made("PatientPruner"))
    trial = study.ask()
    said = []
    for step, value in enumerate([3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, *[1.0] * PATIENCE], start=1):
        trial.report(value, step=step)
        said.append(trial.should_prune())
    assert said == [False] * (len(said) - 1) + [True]


@pytest.mark.parametrize("name", ["SuccessiveHalvingPruner", "HyperbandPruner", "PatientPruner"])
def test_with_the_least_epochs_a_pruner_can_stop_a_trial(name: str) -> None:
    """With one fewer it cannot, or it has but one bracket."""
    least = least_epochs(made(name))
    assert any(map(any, verdicts(made(name, least), epochs=least)))
    if name == "HyperbandPruner":
        fewer = Hyperband(least - 1)
        assert {fewer.bracket(number) for number in range(60)} == {0}
    else:
        assert not any(map(any, verdicts(made(name, least - 1), epochs=least - 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("percentile", "PercentilePruner"),
        ("median", "MedianPruner"),
        ("asha", "SuccessiveHalvingPruner"),
        ("hyperband", "HyperbandPruner"),
        ("patient", "PatientPruner"),
    ],
)
def test_a_short_name_leads_to_the_class(old: str, new: str) -> None:
    """What pruners were called here before, or are called elsewhere."""
    with pytest.raises(ConfigError, match=f"Unknown pruner '{old}'; did you mean '{new}'"):
        PRUNERS.find(old)


@pytest.mark.parametrize("reduction", [2, 4])
def test_arguments_reach_the_pruner(reduction: int) -> None:
    """By the names that they have in Optuna."""
    args = {"min_resource": 3, "reduction_factor": reduction}
    ours = make_pruner("SuccessiveHalvingPruner", args, EPOCHS)
    optunas = SuccessiveHalvingPruner(min_resource=3, reduction_factor=reduction)
    assert verdicts(ours) == verdicts(optunas)
    assert verdicts(make_pruner("HyperbandPruner", args, EPOCHS)) != verdicts(
        made("HyperbandPruner")
    )
    assert least_epochs(make_pruner("HyperbandPruner", args, EPOCHS)) == 3 * reduction


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("SuccessiveHalvingPruner", {"min_resource": 0}, "min_resource must be at least 1"),
        ("HyperbandPruner", {"reduction_factor": 1}, "reduction_factor must be at least 2"),
        ("HyperbandPruner", {"max_resource": 9}, "max_resource of HyperbandPruner is set by"),
        ("PatientPruner", {"patience": 0}, "patience must be at least 1"),
        ("ThresholdPruner", {}, "lower or upper"),
    ],
)
def test_arguments_that_a_pruner_refuses_are_named(
    name: str, args: dict[str, Any], words: str
) -> None:
    """In one line, before anything starts."""
    with pytest.raises(ConfigError, match=words):
        make_pruner(name, args, EPOCHS)
