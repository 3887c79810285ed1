"""A suggestion is a function of the seed, the trial's number, and what was told before."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from sweeps import space
from sweeps.sampling import PRUNERS, SAMPLERS, RepeatableSampler
from trainer.config import TrainConfig

BASE = TrainConfig(epochs=20)


def study_in(storage: optuna.storages.BaseStorage, sampler: str, seed: int) -> optuna.Study:
    """The study, opened as a new process would."""
    return optuna.create_study(
        study_name="s",
        storage=storage,
        sampler=RepeatableSampler(SAMPLERS[sampler], seed),
        load_if_exists=True,
    )


def value(config: TrainConfig) -> float:
    """Something to learn from."""
    return abs(config.lr - 0.02) + abs(config.gamma - 0.5) + config.step_size / 100


def run(
    trials: int, sampler: str, seed: int, reopen: Callable[[int], bool] = lambda number: False
) -> list[dict[str, Any]]:
    """Parameters of so many trials, with the study opened anew before those that `reopen` names."""
    storage = optuna.storages.InMemoryStorage()
    study = study_in(storage, sampler, seed)
    for number in range(trials):
        if reopen(number):
            study = study_in(storage, sampler, seed)
        trial = study.ask()
        study.tell(trial, value(space.suggest(trial, BASE)))
    return [trial.params for trial in study.get_trials()]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_repeats_and_other_seeds_give_others(sampler: str) -> None:
    """The same seed gives the same trials, whether the process was started once or often."""
    straight = run(25, sampler, seed=3)
    assert run(25, sampler, seed=3, reopen=lambda number: number % 3 == 0) == straight
    assert run(25, sampler, seed=4) != straight


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("number", [0, 5, 15])
@pytest.mark.parametrize("drawn", [0, 1, 3])
def test_an_ask_that_was_cut_off_is_completed_to_the_same_values(
    sampler: str, number: int, drawn: int
) -> None:
    """After a crash between any two of its draws a trial gets what it would have got."""
    straight = run(number + 1, sampler, seed=7)[-1]
    storage = optuna.storages.InMemoryStorage()
    study = study_in(storage, sampler, 7)
    for _ in range(number):
        trial = study.ask()
        study.tell(trial, value(space.suggest(trial, BASE)))
    trial = study.ask()
    for name, distribution in list(study_distributions().items())[:drawn]:
        trial._suggest(name, distribution)
    again = study_in(storage, sampler, 7)
    taken_up = optuna.Trial(again, trial._trial_id)
    space.suggest(taken_up, BASE)
    assert taken_up.params == straight


def study_distributions() -> dict[str, optuna.distributions.BaseDistribution]:
    """The distributions of the space, in the order in which they are drawn."""
    study = optuna.create_study()
    trial = study.ask()
    space.suggest(trial, BASE)
    return study.get_trials()[0].distributions


def test_tpe_learns() -> None:
    """Later trials are better than the random ones before them."""
    values = [value(config_of(params)) for params in run(40, "tpe", seed=0)]
    assert sum(values[20:]) / 20 < sum(values[:10]) / 10


def config_of(params: dict[str, Any]) -> TrainConfig:
    """The config that parameters stand for."""
    return space.suggest(optuna.trial.FixedTrial(params), BASE)


def test_every_suggestion_lies_on_the_grids() -> None:
    """Rates recur: lr is one of the grid, gamma a tenth, step_size at most the epochs."""
    for params in run(40, "random", seed=1):
        config = config_of(params)
        assert config.optimizer in space.OPTIMIZERS
        assert config.lr in space.LRS
        assert config.gamma in [tenth / 10 for tenth in range(1, 10)]
        assert 1 <= config.step_size <= BASE.epochs


@pytest.mark.parametrize(("name", "kept"), [("percentile", 1), ("median", 2), ("none", 5)])
def test_the_pruners_keep_the_share_they_say(name: str, kept: int) -> None:
    """Against five complete trials of values 1 to 5 a trial goes on within the share it names."""
    study = optuna.create_study(pruner=PRUNERS[name]())
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
