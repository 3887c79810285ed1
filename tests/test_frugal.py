"""The search that asks of every epoch what it gains, in a plain study and with its own grants."""

import math
from pathlib import Path

import optuna
import pytest
from laws import losses, outlook_of, space_in, trial_of
from optuna.trial import TrialState

from sweeps.search.allocation.curves import DIVERGED_CONSTRAINT, GRANTED
from sweeps.search.allocation.grants import BEGIN
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.frugal import FrugalPruner, FrugalSampler
from sweeps.space import Space
from trainer.settings.config import TrainConfig


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """That of three optimizers."""
    return space_in(tmp_path)


def study_with(outlook: Outlook, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """A study that may have been begun before, with a sampler anew."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = FrugalSampler(outlook, seed=0)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, load_if_exists=True
    )


def train(outlook: Outlook, trial: optuna.Trial, epochs: int) -> bool:
    """Report a trial's epochs by the law; whether it has not diverged by then."""
    point = outlook.points.of(trial.params)
    assert point is not None
    values = losses(point.constants, point.rates)
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for step in range(len(known) + 1, min(epochs, len(values)) + 1):
        trial.report(values[step - 1], step)
    if epochs > len(values):
        trial.set_constraint(DIVERGED_CONSTRAINT, 1.0)
    return epochs <= len(values)


def test_the_sampler_works_in_any_study_of_optunas(space: Space) -> None:
    """Asked, reported and told by hand: valid and good suggestions, and as many as one likes."""
    outlook = outlook_of(space)
    study = study_with(outlook, optuna.storages.InMemoryStorage())
    base = TrainConfig(device="cpu", epochs=8)
    for _ in range(16):
        trial = study.ask()
        config = space.suggest(trial, base)
        assert config.optimizer in ("SGD", "Adam", "RMSprop")
        fine = train(outlook, trial, 8)
        state = TrialState.COMPLETE if fine else TrialState.PRUNED
        last = study.trials[-1].intermediate_values
        study.tell(trial, min(last.values()) if fine else None, state=state)
    trials = study.get_trials()
    assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 16
    for trial in trials:
        for name, value in trial.params.items():
            item = trial.distributions[name]
            assert item._contains(item.to_internal_repr(value))
    values = [trial.value for trial in trials if trial.value is not None]
    assert min(values[-5:]) <= min(values[:8])


def test_a_study_whose_process_dies_after_every_trial_gets_the_same_suggestions(
    space: Space,
) -> None:
    """And one that was cut off while it was asked is completed to the same values."""
    base = TrainConfig(device="cpu", epochs=8)
    straight, again = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    outlook = outlook_of(space)
    study = study_with(outlook, straight)
    for _ in range(12):
        trial = study.ask()
        space.suggest(trial, base)
        fine = train(outlook, trial, 2)
        study.tell(trial, state=TrialState.PRUNED if fine else TrialState.FAIL)
    for number in range(12):
        outlook = outlook_of(space)
        trial = study_with(outlook, again).ask()
        if number % 5 == 0:  # only the first value is kept
            trial.suggest_categorical("optimizer", ["SGD", "Adam", "RMSprop"])
            outlook = outlook_of(space)
            trial = optuna.Trial(study_with(outlook, again), trial._trial_id)
        space.suggest(trial, base)
        fine = train(outlook, trial, 2)
        trial.study.tell(trial, state=TrialState.PRUNED if fine else TrialState.FAIL)
    one, other = (study_with(outlook, it).get_trials() for it in (straight, again))
    assert [trial.params for trial in one] == [trial.params for trial in other]


def test_a_trial_that_was_begun_keeps_its_point(space: Space) -> None:
    """Taken up by a later process it is not suggested anew, which would take the model's time."""
    storage = optuna.storages.InMemoryStorage()
    trial = study_with(outlook_of(space), storage).ask()
    space.suggest(trial, TrainConfig(device="cpu", epochs=8))

    class Unasked(Outlook):
        def suggestion(self, curves: object) -> object:
            raise AssertionError

    outlook = Unasked(outlook_of(space).points, maximize=False, seed=0)
    taken_up = optuna.Trial(study_with(outlook, storage), trial._trial_id)
    space.suggest(taken_up, TrainConfig(device="cpu", epochs=8))
    assert taken_up.params == trial.params


def test_enqueued_trials_are_what_they_were_enqueued_as(space: Space) -> None:
    """What they were not given is drawn at random, repeatably."""
    drawn = []
    for _ in range(2):
        study = study_with(outlook_of(space), optuna.storages.InMemoryStorage())
        study.enqueue_trial({"optimizer": "Adam", "Adam.lr_index": 0})
        trial = study.ask()
        space.suggest(trial, TrainConfig(device="cpu", epochs=8))
        assert trial.params["optimizer"] == "Adam"
        assert trial.params["Adam.lr_index"] == 0
        drawn.append(trial.params)
    assert drawn[0] == drawn[1]


def played(
    space: Space, trials: int, epochs: int, pruner: FrugalPruner
) -> tuple[Outlook, optuna.Study, list[tuple[int | None, int]]]:
    """A study with its grants, one worker; what was granted to whom."""
    outlook = outlook_of(space, epochs)
    study = study_with(outlook, optuna.storages.InMemoryStorage())
    live: dict[int, optuna.Trial] = {}
    grants: list[tuple[int | None, int]] = []
    for _ in range(trials * epochs):
        has = study.get_trials(deepcopy=False)
        grant = pruner.next(outlook, has, trials - len(has))
        if grant is None:
            return outlook, study, grants
        if grant.trial is None:
            trial = study.ask()
            space.suggest(trial, TrainConfig(device="cpu", epochs=epochs))
            granted = pruner.first(outlook, has, study.get_trials(deepcopy=False)[-1])
            live[trial.number] = trial
        else:
            trial, granted = live[grant.trial], grant.epochs
            assert grant.why
        before = study.get_trials(deepcopy=False)[trial.number].user_attrs.get(GRANTED, 0)
        assert before < granted <= epochs
        grants.append((grant.trial, granted))
        trial.set_user_attr(GRANTED, granted)
        if not train(outlook, trial, granted):
            study.tell(trial, state=TrialState.PRUNED)
        elif granted == epochs:
            values = study.get_trials(deepcopy=False)[trial.number].intermediate_values
            study.tell(trial, min(values.values()))
    raise AssertionError("it does not end")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "epochs", "step", "share"), [(14, 8, 4, 0.25), (12, 20, 4, 0.25), (16, 12, 6, 0.1)]
)
def test_the_budget_is_kept_within_one_grant_and_all_trials_are_begun(
    trials: int, epochs: int, step: int, share: float, space: Space
) -> None:
    """Distinct epochs count; what is left after the last trial goes to those that gain most."""
    pruner = FrugalPruner(share=share, step=step)
    outlook, study, grants = played(space, trials, epochs, pruner)
    most = pruner.most(outlook, trials)
    assert most is not None
    assert most == trials * max(3, math.ceil(share * epochs))
    curves = outlook.curves(study.get_trials())
    assert len(study.trials) == trials
    assert curves.spent < most + step
    assert curves.pending == set()
    if (trials, epochs) == (12, 20):
        assert any(trial is not None for trial, _ in grants)


def test_few_trials_are_trained_further_too(space: Space) -> None:
    """With fewer than those that are spread, the budget is spent on the best of them."""
    pruner = FrugalPruner()
    outlook, study, grants = played(space, 4, 20, pruner)
    assert [trial for trial, _ in grants[:4]] == [None] * 4
    assert len(grants) > 4
    spent = outlook.curves(study.get_trials()).spent
    assert spent > 0.7 * (pruner.most(outlook, 4) or 0)


def test_the_first_trials_get_the_first_epochs_and_no_more(space: Space) -> None:
    """So that the space is seen before the model decides."""
    outlook = outlook_of(space)
    pruner = FrugalPruner(start_epochs=2)
    trials = []
    for number in range(outlook.start_trials):
        assert pruner.next(outlook, trials, left=20 - number) == BEGIN
        point = outlook.suggestion(outlook.curves(trials))
        assert pruner.first(outlook, trials, trial_of(point, [], number=number)) == 2
        trials.append(trial_of(point, number=number, granted=2))


def test_a_new_trial_gets_epochs_beyond_those_that_are_known(space: Space) -> None:
    """What another trial has trained of it costs nothing."""
    outlook = outlook_of(space)
    params = {"optimizer": "Adam", "Adam.lr_index": 3, "gamma": 0.5}
    one, other = (outlook.points.of({**params, "step_size": it}) for it in (3, 6))
    assert one is not None
    assert other is not None
    new = trial_of(other, [], number=1)
    assert FrugalPruner().first(outlook, [trial_of(one, granted=8)], new) == 3 + 2


def test_where_all_diverged_trials_are_begun_until_there_are_enough(space: Space) -> None:
    """Then nothing is left to be done."""
    outlook = outlook_of(space)
    trials = [
        trial_of(outlook.points.draw(seed), [], number=seed, diverged=True) for seed in range(12)
    ]
    assert FrugalPruner().next(outlook, trials, left=1) == BEGIN
    assert FrugalPruner().next(outlook, trials, left=0) is None
    assert FrugalPruner().next(outlook, [], left=0) is None


@pytest.mark.parametrize("changes", [{"share": 0.0}, {"share": 1.1}, {"step": 0}])
def test_shares_and_steps_that_cannot_be_are_refused(changes: dict) -> None:
    """With what must hold."""
    with pytest.raises(ValueError, match="must be"):
        FrugalPruner(**changes)
