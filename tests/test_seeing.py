"""A sampler that sees an earlier study's trials begins where that one ended."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.names import LEARN_FROM_OTHERS
from sweeps.search.sampling import Search, make_sampler
from sweeps.search.seeing import SeeingSampler

BEST = {"lr_index": 9, "gamma": 0.3}


def draw(trial: optuna.Trial) -> float:
    """Suggest parameters; how far they are from the best ones."""
    place = trial.suggest_int("lr_index", 0, 12)
    gamma = trial.suggest_float("gamma", 0.1, 0.9, step=0.1)
    return abs(place - BEST["lr_index"]) / 12 + abs(gamma - BEST["gamma"])


def study_with(sampler: BaseSampler, storage: Any = None) -> optuna.Study:
    """A study that may have been begun before."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, load_if_exists=True
    )


def made(name: str, seed: int) -> BaseSampler:
    """A sampler by its name."""
    return make_sampler(name, {}, Search(seed=seed, conditional=False))


@pytest.fixture(scope="module")
def earlier() -> list[FrozenTrial]:
    """Thirty trials drawn at random."""
    study = study_with(made("RandomSampler", seed=100))
    for _ in range(30):
        trial = study.ask()
        study.tell(trial, draw(trial))
    without_numbers = []
    for trial in study.get_trials():
        trial.number = -1
        without_numbers.append(trial)
    return without_numbers


def run(study: optuna.Study, trials: int) -> list[float]:
    """Ask for trials and tell them; how far each was from the best."""
    values = []
    for _ in range(trials):
        trial = study.ask()
        values.append(draw(trial))
        study.tell(trial, values[-1])
    return values


@pytest.mark.parametrize(
    ("sampler", "seeds", "trials"), [("TPESampler", 5, 4), ("GPSampler", 2, 2)]
)
def test_the_first_suggestions_are_near_what_was_best_before(
    sampler: str, seeds: int, trials: int, earlier: list[FrozenTrial]
) -> None:
    """In the mean over some seeds they are twice as near as those that begin at random."""
    cold, warm = 0.0, 0.0
    for seed in range(seeds):
        cold += sum(run(study_with(made(sampler, seed)), trials))
        study = study_with(SeeingSampler(made(sampler, seed), earlier))
        warm += sum(run(study, trials))
        assert [trial.number for trial in study.get_trials()] == list(range(trials))
    assert warm < cold / 2


@pytest.mark.parametrize("sampler", LEARN_FROM_OTHERS)
def test_a_warm_study_repeats_however_often_it_is_opened(
    sampler: str, earlier: list[FrozenTrial]
) -> None:
    """An ask that was cut off, too, is completed to the same values."""
    straight = study_with(SeeingSampler(made(sampler, 3), earlier))
    values = run(straight, 2)
    storage, again = optuna.storages.InMemoryStorage(), []
    for _ in range(2):
        trial = study_with(SeeingSampler(made(sampler, 3), earlier), storage).ask()
        trial.suggest_int("lr_index", 0, 12)
        study = study_with(SeeingSampler(made(sampler, 3), earlier), storage)
        taken_up = optuna.Trial(study, trial._trial_id)
        again.append(draw(taken_up))
        study.tell(taken_up, again[-1])
    assert again == values


def test_a_sampler_goes_on_learning_from_its_own_trials(earlier: list[FrozenTrial]) -> None:
    """Where the best lies elsewhere now, it is found all the same."""
    study = study_with(SeeingSampler(made("TPESampler", 0), earlier))
    for _ in range(40):
        trial = study.ask()
        draw(trial)
        study.tell(trial, abs(trial.params["lr_index"] - 2) / 12 - 1)
    last = [trial.params["lr_index"] for trial in study.get_trials()[-10:]]
    assert sum(abs(place - 2) for place in last) / 10 < 2


def test_what_diverged_is_kept_away_from(earlier: list[FrozenTrial]) -> None:
    """Where the best region violates a constraint, suggestions lie elsewhere."""
    bad = []
    for trial in earlier:
        assert trial.value is not None
        diverged = trial.params["lr_index"] > 6
        constraints = {"diverged": 1.0} if diverged else None
        state = TrialState.PRUNED if diverged else TrialState.COMPLETE
        bad.append(
            optuna.trial.create_trial(
                state=state,
                value=None if diverged else trial.value,
                params=trial.params,
                distributions=trial.distributions,
                constraints=constraints,
            )
        )
    places = []
    for seed in range(5):
        study = study_with(SeeingSampler(made("TPESampler", seed), bad))
        for _ in range(3):
            trial = study.ask()
            draw(trial)
            places.append(trial.params["lr_index"])
    assert sum(place > 6 for place in places) <= 3
