"""What is used of Optuna and has no public name is still there and means what it meant."""

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from sweeps.search.optuna_private import DetachedTrial, StudyView, is_enqueued, take_up


def test_a_trial_is_taken_up_with_what_it_was_given() -> None:
    """By its number in the storage, which only a private name tells."""
    study = optuna.create_study()
    first = study.ask()
    given = first.suggest_float("x", 0.0, 1.0)
    again = take_up(study, study.get_trials()[0])
    assert again.number == first.number
    assert again.suggest_float("x", 0.0, 1.0) == given
    study.tell(again, given)
    assert study.best_value == given


def test_enqueued_trials_are_known() -> None:
    """By a system attribute of Optuna's."""
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    study.ask()
    study.ask()
    assert [is_enqueued(trial) for trial in study.get_trials()] == [True, False]


def test_all_of_optuna_sees_the_trials_that_it_is_to_see() -> None:
    """The study stays as it is."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=1))
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, trial.suggest_float("x", 0.0, 1.0))
    worst = max(study.get_trials(), key=lambda it: it.value or 0.0)
    seen = StudyView(study, lambda trials: [it for it in trials if it.number == worst.number])
    assert [it.number for it in seen.trials] == [worst.number]
    assert seen.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) == []
    assert optuna.search_space.intersection_search_space(seen.get_trials()) == worst.distributions
    assert len(study.trials) == 3
    assert seen.study_name == study.study_name
    assert seen.direction == study.direction


def test_a_detached_trial_gets_each_value_from_its_function_once() -> None:
    """It records names, values and distributions as a trial of a study does."""
    supplied: list[str] = []

    def suggest(name: str, distribution: BaseDistribution) -> float:
        supplied.append(name)
        return 0.5

    trial = DetachedTrial(suggest)
    assert [trial.suggest_float("x", 0.0, 1.0) for _ in range(2)] == [0.5, 0.5]
    assert supplied == ["x"]
    assert trial.params == {"x": 0.5}
    assert trial.distributions == {"x": FloatDistribution(0.0, 1.0)}
