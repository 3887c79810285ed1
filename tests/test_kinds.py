"""A study that compares the values of a parameter searches each of them by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from laws import OPTIMIZERS, losses
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.curves import DIVERGED_CONSTRAINT, GRANTED
from sweeps.search.allocation.grants import AllocatingPruner, WholeTrials
from sweeps.search.pruning import make_pruner
from sweeps.settings.config import SweepConfig
from sweeps.study.kinds import Kinds
from trainer.settings.config import TrainConfig

EPOCHS = 8
TRIALS = 16
SAMPLERS = ["FrugalSampler", "TPESampler", "RandomSampler"]


@pytest.fixture
def space(tmp_path: Path) -> str:
    """A file: three optimizers, each with its rates."""
    (tmp_path / "space.toml").write_text(OPTIMIZERS)
    return str(tmp_path / "space.toml")


class Played:
    """A study that is played by the law, one worker, in as many processes as one likes."""

    def __init__(self, space: str, trials: int = TRIALS, **changes: Any) -> None:
        train = TrainConfig(device="cpu", epochs=EPOCHS)
        self.storage = optuna.storages.InMemoryStorage()
        self.config = SweepConfig(
            **{"train": train, "space": space, "trials": trials, "compare": "optimizer", **changes}
        )

    def open(self) -> tuple[optuna.Study, Kinds, AllocatingPruner]:
        """As another process finds it."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        kinds = Kinds(self.config, images=100)
        study = optuna.create_study(
            study_name="s", storage=self.storage, sampler=kinds.sampler, load_if_exists=True
        )
        pruner = make_pruner(self.config.pruner, self.config.pruner_args, EPOCHS)
        return study, kinds, pruner if isinstance(pruner, AllocatingPruner) else WholeTrials()

    def run(self, steps: int | None = None) -> list[FrozenTrial]:
        """Continue for so many grants, or to the end; all trials."""
        study, kinds, pruner = self.open()
        while steps is None or steps > 0:
            steps = steps and steps - 1
            trials = study.get_trials(deepcopy=False)
            grant = kinds.next(pruner, trials, self.config.trials - len(trials))
            if grant is None:
                break
            if grant.trial is None:
                trial = study.ask()
                self.config.search_space.suggest(trial, self.config.train)
                (new,) = study.get_trials(deepcopy=False)[len(trials) :]
                epochs = pruner.first(kinds.of(new), trials, new)
            else:
                trial, epochs = optuna.Trial(study, trials[grant.trial]._trial_id), grant.epochs
            trial.set_user_attr(GRANTED, epochs)
            self._train(study, kinds, trial, epochs)
        return study.get_trials()

    def _train(self, study: optuna.Study, kinds: Kinds, trial: optuna.Trial, epochs: int) -> None:
        frozen = study.get_trials(deepcopy=False)[trial.number]
        point = kinds.of(frozen).points.of(trial.params)
        assert point is not None
        values = losses(point.constants, point.rates)
        for step in range(len(frozen.intermediate_values) + 1, min(epochs, len(values)) + 1):
            trial.report(values[step - 1], step)
        if epochs > len(values):
            trial.set_constraint(DIVERGED_CONSTRAINT, 1.0)
            study.tell(trial, state=TrialState.PRUNED)
        elif epochs == EPOCHS:
            study.tell(trial, min(values))


def told(trials: Sequence[FrozenTrial]) -> list[tuple[Any, ...]]:
    """What a table shows of each."""
    return [(it.params, it.state, it.intermediate_values, it.user_attrs) for it in trials]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_value_gets_as_many_trials(sampler: str, space: str) -> None:
    """One more or less where they do not go into each other, at every length of the study."""
    pruner = "FrugalPruner" if sampler == "FrugalSampler" else "none"
    trials = Played(space, sampler=sampler, pruner=pruner).run()
    optimizers = [trial.params["optimizer"] for trial in trials]
    assert len(trials) == TRIALS
    for length in range(1, TRIALS + 1):
        counts = Counter(dict.fromkeys(("SGD", "Adam", "RMSprop"), 0))
        counts.update(optimizers[:length])
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.slow
def test_each_value_gets_about_as_many_epochs(space: str) -> None:
    """No farther apart than what is granted at once to one of them."""
    played = Played(space)
    trials = played.run()
    _, kinds, _ = played.open()
    spent = [outlook.curves(trials).spent for outlook in kinds.outlooks]
    assert min(spent) >= 3 * 5
    assert max(spent) - min(spent) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "pruner", "steps"),
    [
        ("FrugalSampler", "FrugalPruner", 4),
        ("TPESampler", "PromotionPruner", 1),
        ("RandomSampler", "none", 1),
    ],
)
def test_a_study_that_was_cut_off_again_and_again_has_the_same_trials(
    sampler: str, pruner: str, steps: int, space: str
) -> None:
    """And the same epochs, as one that was not."""
    changes = {"trials": 11, "sampler": sampler, "pruner": pruner}
    straight = Played(space, **changes).run()
    again = Played(space, **changes)
    before: list[tuple[Any, ...]] = [()]
    while told(again.run(steps)) != before:
        before = told(again.open()[0].get_trials())
    assert told(straight) == before


def test_a_study_that_grows_is_the_one_that_was_longer_at_once(space: str) -> None:
    """Of a sampler and a pruner that do not ask how many trials there are to be."""
    changes = {"sampler": "TPESampler", "pruner": "none"}
    short = Played(space, 7, **changes)
    short.run()
    long = Played(space, 13, **changes)
    long.storage = short.storage
    assert told(long.run()) == told(Played(space, 13, **changes).run())


def test_a_sampler_sees_trials_of_its_own_kind_alone(space: str) -> None:
    """Whatever the others are told, it suggests the same."""
    suggested = []
    for better in (0.0, 5.0):
        played = Played(space, sampler="TPESampler", sampler_args={"n_startup_trials": 2})
        study, kinds, _ = played.open()
        for number in range(16):
            trial = study.ask()
            played.config.search_space.suggest(trial, played.config.train)
            point = kinds.outlooks[0].points.of(trial.params)
            assert point is not None
            value = abs(point.rates[0] - 0.02) + (better * point.rates[0] if number % 3 else 0)
            trial.report(value, 1)
            study.tell(trial, value)
        trials = study.get_trials()
        suggested.append([trial.params for trial in trials[::3]])
        assert len({trial.params["optimizer"] for trial in trials[::3]}) == 1
    assert suggested[0] == suggested[1]


def test_trials_compete_with_their_own_kind(space: str) -> None:
    """A kind that is worse than all others has its best one promoted all the same."""
    played = Played(space, 12, sampler="RandomSampler", pruner="PromotionPruner")
    trials = played.run()
    for optimizer in ("SGD", "Adam", "RMSprop"):
        granted = [
            trial.user_attrs[GRANTED]
            for trial in trials
            if trial.params["optimizer"] == optimizer and not trial.constraints
        ]
        assert max(granted) > 1


def test_without_anything_to_compare_there_is_one_kind(space: str) -> None:
    """Which all trials are of."""
    kinds = Kinds(SweepConfig(train=TrainConfig(device="cpu"), space=space), images=100)
    assert len(kinds.outlooks) == 1
