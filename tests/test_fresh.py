"""No trial is spent on what is known: such suggestions are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from laws import SCHEDULES, losses, outlook_of, space_in
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.curves import DIVERGED_CONSTRAINT
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.fresh import TRIES, FreshSampler
from sweeps.search.repeatable import RepeatableSampler
from sweeps.search.sampling import Search, make_sampler
from sweeps.space import Space
from trainer.settings.config import TrainConfig

EPOCHS = 4
FAMILY = f'optimizer = "SGD"\nlr = 0.05\n{SCHEDULES}'
RATES = 'optimizer = "SGD"\nlr = { low = 1e-3, high = 1.0, grid = "1-2-5" }'


class Stubborn(BaseSampler):
    """Gives the same values whenever it is asked, and counts how often that is."""

    def __init__(self, values: Mapping[str, Any], asked: list[str]) -> None:
        self._values = values
        self._asked = asked

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, space: Any) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, item: BaseDistribution
    ) -> Any:
        """That value."""
        self._asked.append(name)
        return self._values[name]


def study_with(
    sampler: BaseSampler, storage: optuna.storages.BaseStorage | None = None
) -> optuna.Study:
    """A study that may have been begun before."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, load_if_exists=True
    )


def fresh(
    space: Space, make: Callable[[int], BaseSampler] = lambda seed: RandomSampler(seed=seed)
) -> FreshSampler:
    """A fresh sampler, anew as in another process."""
    return FreshSampler(RepeatableSampler(make, 0), outlook_of(space, EPOCHS))


def asked(study: optuna.Study, space: Space) -> optuna.Trial:
    """A new trial, with its values."""
    trial = study.ask()
    space.suggest(trial, TrainConfig(device="cpu", epochs=EPOCHS))
    return trial


def finish(trial: optuna.Trial, outlook: Outlook, epochs: int = EPOCHS) -> None:
    """Train so many epochs by the law, and tell how it ended."""
    point = outlook.points.of(trial.params)
    assert point is not None
    values = losses(point.constants, point.rates)[:epochs]
    for step, value in enumerate(values, start=1):
        trial.report(value, step)
    if len(values) == EPOCHS:
        trial.study.tell(trial, min(values))
        return
    if len(values) < epochs:
        trial.set_constraint(DIVERGED_CONSTRAINT, 1.0)
    trial.study.tell(trial, state=TrialState.PRUNED)


@pytest.fixture
def family(tmp_path: Path) -> Space:
    """Schedules of one rate: of 36 there are 28 results in four epochs."""
    return space_in(tmp_path, FAMILY)


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "GPSampler"])
def test_every_trial_has_an_epoch_that_the_study_does_not_know(sampler: str, family: Space) -> None:
    """As long as a class of Optuna's draws at random, as each of them does at first."""
    outlook = outlook_of(family, EPOCHS)
    repeatable = make_sampler(sampler, {}, Search(seed=0, conditional=False))
    assert isinstance(repeatable, RepeatableSampler)
    study = study_with(FreshSampler(repeatable, outlook))
    for _ in range(10):
        known = outlook.curves(study.get_trials()).known
        trial = asked(study, family)
        point = outlook.points.of(trial.params)
        assert point is not None
        assert not known.keys() >= set(point.nodes)
        finish(trial, outlook)


def test_a_plain_sampler_would_have_repeated_itself(family: Space) -> None:
    """Which is what the test before is worth."""
    outlook = outlook_of(family, EPOCHS)
    study = study_with(RepeatableSampler(lambda seed: RandomSampler(seed=seed), 0))
    points = set()
    for _ in range(10):
        point = outlook.points.of(asked(study, family).params)
        assert point is not None
        points.add(point.nodes)
    assert len(points) < 10


class StopsAt(BasePruner):
    """Stops every trial at a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial stands there."""
        return trial.last_step == self._step


def test_what_the_pruner_would_stop_in_a_known_epoch_is_drawn_again(family: Space) -> None:
    """All that share the epoch are avoided, though none of them was trained to its end."""
    outlook = outlook_of(family, EPOCHS)
    study = study_with(fresh(family))
    study.pruner = StopsAt(2)
    study.enqueue_trial({"step_size": 4, "gamma": 0.5})
    first = asked(study, family)
    finish(first, outlook, epochs=2)
    stopped = outlook.points.of(first.params)
    assert stopped is not None
    for _ in range(4):
        trial = asked(study, family)
        point = outlook.points.of(trial.params)
        assert point is not None
        assert stopped.nodes[1] not in point.nodes
        finish(trial, outlook)


def test_rates_beyond_the_border_of_divergence_are_drawn_again(tmp_path: Path) -> None:
    """Once a rate has diverged no higher one is tried."""
    space = space_in(tmp_path, RATES)
    outlook = outlook_of(space, EPOCHS)
    study = study_with(fresh(space))
    study.enqueue_trial({"lr_index": 7})
    finish(asked(study, space), outlook)
    places = []
    for _ in range(6):
        trial = asked(study, space)
        places.append(trial.params["lr_index"])
        finish(trial, outlook)
    assert max(places) < 7
    assert len(set(places)) == 6


def test_a_sampler_that_knows_nothing_else_is_asked_so_often_and_no_more(family: Space) -> None:
    """Its last answer is taken, whatever it is."""
    values, names = {"step_size": 2, "gamma": 0.5}, []
    study = study_with(fresh(family, lambda seed: Stubborn(values, names)))
    finish(asked(study, family), outlook_of(family, EPOCHS))
    assert len(names) == 2
    names.clear()
    assert asked(study, family).params == values
    assert len(names) == 2 * TRIES


def test_a_study_that_was_cut_off_between_draws_goes_on_to_the_same_trials(family: Space) -> None:
    """After every trial, and with only one of its values stored."""
    straight, again = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()

    def sampler() -> FreshSampler:
        return fresh(family, lambda seed: TPESampler(seed=seed, n_startup_trials=3))

    study = study_with(sampler(), straight)
    outlook = outlook_of(family, EPOCHS)
    for _ in range(10):
        finish(asked(study, family), outlook)
    for number in range(10):
        trial = study_with(sampler(), again).ask()
        if number % 2:
            trial.suggest_int("step_size", 1, EPOCHS)
            trial = optuna.Trial(study_with(sampler(), again), trial._trial_id)
        family.suggest(trial, TrainConfig(device="cpu", epochs=EPOCHS))
        finish(trial, outlook)
    one, other = (study_with(sampler(), it).get_trials() for it in (straight, again))
    assert [trial.params for trial in one] == [trial.params for trial in other]


def test_enqueued_trials_are_left_as_they_are(family: Space) -> None:
    """Though all of their epochs are known; what they were not given is drawn once."""
    study = study_with(fresh(family))
    outlook = outlook_of(family, EPOCHS)
    for _ in range(2):
        study.enqueue_trial({"step_size": 2, "gamma": 0.5})
        trial = asked(study, family)
        assert trial.params == {"step_size": 2, "gamma": 0.5}
        finish(trial, outlook)
    study.enqueue_trial({"step_size": 2})
    assert asked(study, family).params["step_size"] == 2
