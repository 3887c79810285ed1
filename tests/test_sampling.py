"""A suggestion is a function of the seed, the trial's number, and what was told before."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import optuna
import pytest
import typer.main
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial, FrozenTrial, TrialState

import sweeps.run
from sweeps.search.names import (
    COMPLETE_ONLY,
    EVERY_POINT,
    FRUGAL,
    GP,
    ONE_OBJECTIVE_ONLY,
    TWO_OBJECTIVES_ONLY,
)
from sweeps.search.pruning import PRUNERS
from sweeps.search.sampling import POPULATION, SAMPLERS, Search, make_sampler
from trainer.errors import ConfigError

ARGS: dict[str, dict[str, Any]] = {
    "PartialFixedSampler": {"fixed_params": {"gamma": 0.5}, "base_sampler": "TPESampler"}
}
"""Arguments of samplers that cannot be made without any."""

STEPS_ONLY = ("BruteForceSampler",)
"""Samplers for spaces of which every parameter has a step."""

OPTIMIZERS = ("SGD", "Adam", "AdamW")
MOMENTA = (0.0, 0.9)

Params = dict[str, Any]
Space = Callable[[BaseTrial], Params]


def plain(trial: BaseTrial) -> Params:
    """What every trial has."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
        "lr_index": trial.suggest_int("lr_index", 0, 12),
        "gamma": trial.suggest_float("gamma", 0.1, 0.9, step=0.1),
        "decay": trial.suggest_float("decay", 1e-5, 1e-1, log=True),
    }


def stepped(trial: BaseTrial) -> Params:
    """What every trial has, each with a step."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
        "lr_index": trial.suggest_int("lr_index", 0, 12),
        "gamma": trial.suggest_float("gamma", 0.1, 0.9, step=0.1),
    }


def conditional(trial: BaseTrial) -> Params:
    """What some trials have between what every trial has."""
    params: Params = {"optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS)}
    if params["optimizer"] == "SGD":
        params["momentum"] = trial.suggest_categorical("momentum", MOMENTA)
    params["lr_index"] = trial.suggest_int("lr_index", 0, 12)
    if params["optimizer"] == "Adam":
        params["beta"] = trial.suggest_float("beta", 0.8, 0.99)
    params["gamma"] = trial.suggest_float("gamma", 0.1, 0.9, step=0.1)
    return params


def small(trial: BaseTrial) -> Params:
    """Few enough trials to have them all."""
    params: Params = {"optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS)}
    if params["optimizer"] == "SGD":
        params["momentum"] = trial.suggest_categorical("momentum", MOMENTA)
    return params | {"lr_index": trial.suggest_int("lr_index", 0, 2)}


SMALL = [
    {"optimizer": optimizer, **more, "lr_index": place}
    for optimizer, place in product(OPTIMIZERS, range(3))
    for more in ([{"momentum": it} for it in MOMENTA] if optimizer == "SGD" else [{}])
]


def points_of(space: Space) -> list[Params]:
    """Every point of the small space; of the others as many as are asked for here."""
    if space is small:
        return list(SMALL)
    draw = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space(draw.ask()) for _ in range(40)]


def value(params: Params) -> float:
    """Something to learn from."""
    far = abs(params["lr_index"] - 6) / 6 + abs(params.get("gamma", 0.5) - 0.5)
    return far + (params["optimizer"] == "SGD")


@dataclass
class Bench:
    """A study that can be opened anew, as a new process would.

    Attributes:
        sampler: its name.
        space: what a trial may be.
        seed: of the study.
        two: whether it has two objectives.
    """

    sampler: str
    space: Space = plain
    seed: int = 3
    two: bool = False
    storage: optuna.storages.BaseStorage = field(default_factory=optuna.storages.InMemoryStorage)

    def open(self) -> optuna.Study:
        """The study."""
        search = Search(
            seed=self.seed,
            conditional=self.space not in (plain, stepped),
            points=points_of(self.space),
        )
        return optuna.create_study(
            study_name="s",
            storage=self.storage,
            directions=["minimize"] * (2 if self.two else 1),
            sampler=make_sampler(self.sampler, ARGS.get(self.sampler, {}), search),
            load_if_exists=True,
        )

    def tell(self, study: optuna.Study, trial: optuna.Trial, params: Params) -> None:
        """Tell how a trial ended: with high rates badly, the way the sampler is told that."""
        if params["lr_index"] > 9 and self.sampler not in COMPLETE_ONLY:
            trial.set_constraint("diverged", 1.0)
            study.tell(trial, state=TrialState.PRUNED)
            return
        values = [2.3 if params["lr_index"] > 9 else value(params)]
        study.tell(trial, [*values, params["lr_index"]] if self.two else values)

    def run(
        self, trials: int, at_once: int = 1, reopen: Callable[[int], bool] = lambda number: False
    ) -> list[Params]:
        """What so many trials got, some at once, the study opened anew before some of them."""
        study = self.open()
        live: list[tuple[optuna.Trial, Params]] = []
        for number in range(trials):
            if reopen(number):
                study = self.open()
            trial = study.ask()
            live.append((trial, self.space(trial)))
            if len(live) == at_once:
                self.tell(study, *live.pop(0))
        return [trial.params for trial in study.get_trials()]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Optuna says nothing worse than that a study was made."""
    optuna.logging.enable_propagation()
    optuna.logging.disable_default_handler()
    yield
    optuna.logging.disable_propagation()
    optuna.logging.enable_default_handler()
    assert [it.message for it in caplog.records if it.levelno >= logging.WARNING] == []


def many(sampler: str) -> int:
    """Trials enough that the sampler has learned; GPSampler takes seconds from the 11th on."""
    return 11 if sampler == GP else 30


def cases(without: Iterable[str] = ()) -> pytest.MarkDecorator:
    """Each sampler of a name with each space; those that are slow or want steps with one.

    That FrugalSampler repeats is shown where it has a space: `test_outlook`, `test_frugal`.
    """
    names = [name for name in SAMPLERS.names if name not in (FRUGAL, *without)]
    pairs = [it for it in product(names, (plain, conditional)) if it != (GP, plain)]
    pairs = [(name, stepped if name in STEPS_ONLY else space) for name, space in pairs]
    return pytest.mark.parametrize(("sampler", "space"), dict.fromkeys(pairs))


@cases(without=TWO_OBJECTIVES_ONLY)
def test_a_study_repeats_and_other_seeds_give_others(sampler: str, space: Space) -> None:
    """The same seed gives the same trials, whether the process was started once or often."""
    trials = many(sampler) + 1
    straight = Bench(sampler, space).run(trials, at_once=2)
    again = Bench(sampler, space).run(trials, at_once=2, reopen=lambda it: it % 3 == 2)
    assert again == straight
    assert Bench(sampler, space, seed=4).run(9) != straight[:9]


@cases(without=ONE_OBJECTIVE_ONLY)
def test_a_study_of_two_objectives_repeats(sampler: str, space: Space) -> None:
    """That two values are told changes nothing of it."""
    straight = Bench(sampler, space, two=True).run(many(sampler))
    again = Bench(sampler, space, two=True).run(many(sampler), reopen=lambda it: it % 3 == 1)
    assert again == straight


@cases(without=(GP,))  # which takes what it stored of such a trial for a rival's
def test_an_ask_that_was_cut_off_is_completed_to_the_same_values(
    sampler: str, space: Space
) -> None:
    """After a crash between any two of its draws a trial gets what it would have got."""
    bench = Bench(sampler, space, two=sampler in TWO_OBJECTIVES_ONLY)
    bench.run(many(sampler) - 1)

    def last(drawn: int, take_up: bool) -> tuple[Params, optuna.trial.FrozenTrial]:
        """The next trial, taken up by another process when so many parameters were drawn."""
        copied = replace(bench, storage=deepcopy(bench.storage))
        trial = copied.open().ask()
        if take_up:
            assert trial.relative_params is not None  # drawn, and with some samplers stored
            for name, distribution in list(known.items())[:drawn]:
                trial._suggest(name, distribution)
            trial = optuna.Trial(copied.open(), trial._trial_id)
        return space(trial), copied.open().get_trials()[-1]

    known: dict[str, BaseDistribution] = {}
    straight, frozen = last(0, take_up=False)
    known |= frozen.distributions
    for drawn in range(len(known)):
        assert last(drawn, take_up=True)[0] == straight


@pytest.mark.parametrize(
    ("sampler", "two", "far"),
    [
        ("TPESampler", False, value),
        (
            "CmaEsSampler",
            False,
            lambda params: abs(params["lr_index"] - 6),
        ),  # it learns numbers only
        (
            "NSGAIISampler",
            True,
            lambda params: params["optimizer"] == "SGD",
        ),  # worse in the one, no better
    ],
)
def test_samplers_learn(sampler: str, two: bool, far: Callable[[Params], float]) -> None:
    """Later trials are better than the first; three seeds, so that luck plays less of a part."""
    early, late = 0.0, 0.0
    for seed in range(3):
        values = [far(it) for it in Bench(sampler, seed=seed, two=two).run(40)]
        early, late = early + sum(values[:10]), late + sum(values[-10:])
    assert late < 0.8 * early


def test_fifty_trials_are_several_generations_of_nsga_ii() -> None:
    """A generation has as many trials as the population."""
    bench = Bench("NSGAIISampler", two=True)
    bench.run(50)
    attrs = [trial.system_attrs for trial in bench.open().get_trials()]
    generations = [item["NSGAIISampler:generation"] for item in attrs]
    assert Counter(generations) == dict.fromkeys(range(5), POPULATION)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_grid_gives_every_point_once(at_once: int) -> None:
    """Whoever asks, in whatever process, and however many trials are on their way."""
    bench = Bench("GridSampler", small)
    got = bench.run(len(SMALL), at_once=at_once, reopen=lambda number: number % 3 == 0)
    assert sorted(map(str, got)) == sorted(map(str, SMALL))
    assert Bench("GridSampler", small, seed=4).run(len(SMALL)) != got


def test_a_grid_takes_no_point_from_trials_that_others_chose() -> None:
    """What they left open is drawn; the points go to the trials between."""
    bench = Bench("GridSampler", small)
    study, got = bench.open(), []
    for number in range(len(SMALL) + 2):
        if number in (2, 7):
            study.enqueue_trial({"optimizer": "SGD"})
        trial = study.ask()
        params = small(trial)
        if number in (2, 7):
            assert params["optimizer"] == "SGD"
        else:
            got.append(params)
        bench.tell(study, trial, params)
    assert got == Bench("GridSampler", small).run(len(SMALL))


def test_qmc_is_spread_evenly() -> None:
    """Of 16 trials each has its own sixteenth of a range, and each choice its share."""
    study = Bench("QMCSampler").open()
    got = []
    for _ in range(16):
        trial = study.ask()
        got.append((trial.suggest_categorical("a", "abcd"), trial.suggest_float("b", 0, 16)))
    assert Counter(letter for letter, _ in got) == dict.fromkeys("abcd", 4)
    assert sorted(int(number) for _, number in got) == list(range(16))


def test_brute_force_gives_every_point_once() -> None:
    """In a space that only its draws show, where Optuna's own would want to stop the study."""
    got = Bench("BruteForceSampler", small).run(len(SMALL), reopen=lambda number: number % 3 == 0)
    assert sorted(map(str, got)) == sorted(map(str, SMALL))


class Halves(BaseSampler):
    """A sampler from elsewhere: draws from one half, and notes what it was called for.

    Args:
        seed: of its draws.
        upper: whether it is the upper half.
    """

    def __init__(self, seed: int, upper: bool = False) -> None:
        self._draw = random.Random(seed)
        self._upper = upper

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Note it."""
        study.set_user_attr(f"before {trial.number}", True)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None is drawn together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None is drawn together."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """From one half of a range."""
        assert isinstance(param_distribution, FloatDistribution)
        return self._draw.uniform(0.5, 1) if self._upper else self._draw.uniform(0, 0.5)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Note it."""
        study.set_user_attr(f"after {trial.number}", state.name)


def test_a_sampler_from_elsewhere_repeats_too() -> None:
    """It is made anew for each trial, with a seed and its arguments, and all it has is called."""
    search = Search(seed=3, conditional=False)

    def draws(at_once: int) -> list[float]:
        study, got = optuna.create_study(), []
        for number in range(6):
            if number % at_once == 0:
                name = f"{__name__}:Halves"
                study.sampler = make_sampler(name, {"upper": True}, search)
            trial = study.ask()
            got.append(trial.suggest_float("x", 0, 1))
            study.tell(trial, 1.0)
        assert len(study.user_attrs) == 12
        assert study.user_attrs["after 5"] == "COMPLETE"
        return got

    assert draws(1) == draws(2) == draws(6)
    assert len(set(draws(1))) == 6
    assert min(draws(1)) >= 0.5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tpe", "TPESampler"),
        ("random", "RandomSampler"),
        ("grid", "GridSampler"),
        ("qmc", "QMCSampler"),
        ("cmaes", "CmaEsSampler"),
        ("gp", "GPSampler"),
        ("nsgaii", "NSGAIISampler"),
        ("bayes", "TPESampler"),
    ],
)
def test_a_short_name_leads_to_the_class(old: str, new: str) -> None:
    """What samplers were called here before, or are called elsewhere."""
    with pytest.raises(ConfigError, match=f"Unknown sampler '{old}'; did you mean '{new}'"):
        SAMPLERS.find(old)


def test_cmaes_can_leave_optimizers_to_another_sampler() -> None:
    """A class that an argument wants is named as the sampler itself is."""
    search = Search(seed=3, conditional=False)
    args = {"independent_sampler": "TPESampler"}
    assert make_sampler("CmaEsSampler", args, search)
    with pytest.raises(ConfigError, match="Unknown sampler 'TPE'; did you mean 'TPESampler'"):
        make_sampler("CmaEsSampler", {"independent_sampler": "TPE"}, search)


def test_arguments_reach_the_sampler() -> None:
    """With no start-up trials it learns from the first one on."""
    search = Search(seed=3, conditional=True)
    study = optuna.create_study()
    got = []
    for args in ({}, {"n_startup_trials": 1}, {"multivariate": False}):
        study.sampler = make_sampler("TPESampler", args, search)
        for _ in range(2):
            trial = study.ask()
            got.append(trial.suggest_float("x", 0, 1))
            study.tell(trial, got[-1])
    assert len(set(got)) == len(got)


def test_the_usual_samplers_and_pruners_have_their_reasons_in_the_help() -> None:
    """The help names each, with a colon and what it is for."""
    options = {it.name: it.help for it in typer.main.get_command(sweeps.run.app).params}
    rare = {"BruteForceSampler", "NSGAIIISampler", "PartialFixedSampler"}
    rare |= {"NopPruner", "ThresholdPruner", "WilcoxonPruner"}
    for name, known in (("sampler", SAMPLERS.names), ("pruner", PRUNERS.names)):
        assert {it for it in known if f"{it}: " not in options[name]} <= rare


def test_the_samplers_that_are_told_apart_are_there() -> None:
    """Each name in those sets is one that can be given."""
    for names in (
        COMPLETE_ONLY,
        EVERY_POINT,
        ONE_OBJECTIVE_ONLY,
        TWO_OBJECTIVES_ONLY,
    ):
        assert set(names) <= set(SAMPLERS.names)
