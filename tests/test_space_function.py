"""A search space that is a Python function of a trial."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial

from sweeps.settings.config import SweepConfig
from sweeps.space import Space, open_space
from sweeps.space.__main__ import main
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.references import unload_changed

BASE = TrainConfig(epochs=20)

GOOD = """
def suggest(trial):
    optimizer = trial.suggest_categorical("optimizer", ["SGD", "Adam"])
    lr = 10 ** trial.suggest_int("power", -4, -1)
    values = {"optimizer": optimizer, "lr": lr, "scheduler": "CosineAnnealingLR"}
    values["scheduler.T_max"] = trial.suggest_int("scheduler.T_max", 5, 20)
    if optimizer == "SGD":
        values["momentum"] = trial.suggest_float("momentum", 0.0, 0.9)
    return values
"""

Open = Callable[[str], Space]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Open:
    """Opens the function `suggest` of a module with this text."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> Space:
        name = f"own_{abs(hash(request.node.name))}"
        (tmp_path / f"{name}.py").write_text(text)
        return open_space(f"{name}:suggest")

    return write


def test_a_function_gives_the_values_of_a_config(opened: Open) -> None:
    """Values that Optuna does not see are attributes; a finished trial is made again."""
    space = opened(GOOD)
    space.check(BASE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    optimizers = set()
    for _ in range(10):
        trial = study.ask()
        config = space.suggest(trial, BASE)
        optimizers.add(config.optimizer)
        assert config.lr == 10 ** trial.params["power"]
        assert config.scheduler_args == {"T_max": trial.params["scheduler.T_max"]}
        assert set(config.optimizer_args) == ({"momentum"} & set(trial.params))
        assert trial.user_attrs == {"lr": config.lr, "scheduler": "CosineAnnealingLR"}
        assert space.suggest(FixedTrial(trial.params, trial.number), BASE) == config
    assert optimizers == {"SGD", "Adam"}


def test_what_cannot_be_known_of_a_function_is_not_claimed(opened: Open) -> None:
    """It may have conditions; its names, choices and ranges are its own affair."""
    space = opened(GOOD)
    assert space.conditional
    assert space.searched == space.always == space.choices("optimizer") == ()
    assert space.distributions(BASE) == {}
    with pytest.raises(ConfigError, match="must be a file, so that every point can be tried"):
        space.points(BASE)


def test_other_code_is_another_space(opened: Open) -> None:
    """A study is resumed only with the code that it was started with."""
    described = opened(GOOD).describe(BASE)
    unload_changed([described["function"]])
    assert opened(GOOD.replace("0.9", "0.8")).describe(BASE) != described


def test_a_function_names_the_study(opened: Open) -> None:
    """All of the base counts, as nobody knows what the function decides."""
    reference = opened(GOOD).describe(BASE)["function"]
    names = {
        SweepConfig(space=reference, train=TrainConfig(lr=lr)).study_name for lr in (0.1, 0.2)
    } | {SweepConfig(train=TrainConfig(lr=lr)).study_name for lr in (0.1, 0.2)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("suggest = 5", ["must be a function", "5"]),
        ("def suggest(): return {}", ["TypeError", "argument"]),
        ("def suggest(trial): return 1 / 0", ["ZeroDivisionError", "division by zero"]),
        ("def suggest(trial): return [1]", ["must return a dict of values", "[1]"]),
        ("def suggest(trial): return {'epochs': 3}", ["epochs cannot be searched", "--epochs"]),
        ("def suggest(trial): return {'lr': -1}", ["lr must be a number above 0", "-1"]),
        (
            "def suggest(trial): return {'momentum': trial.suggest_float('m', 0, 1), 'betas': 1}",
            ["for {'m': ", "argument of SGD 'betas'"],
        ),
        (
            "import itertools\nn = itertools.count(1)\n"
            "def suggest(trial): return {'seed': next(n)}",
            ["must return the same values for the same parameters"],
        ),
        (
            "def suggest(trial): return {'seed': len(trial.study.trials)}",
            ["AttributeError", "study"],
        ),
    ],
)
def test_what_is_wrong_with_a_function_is_one_line(
    opened: Open, text: str, words: list[str]
) -> None:
    """Its reference, and the reason."""
    with pytest.raises(ConfigError) as caught:
        opened(text).check(BASE)
    assert [word for word in [":suggest", *words] if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_parameters_for_a_function_go_by_its_own_names(opened: Open) -> None:
    """They are what it asks the trial for, and may be some of them."""
    space = opened(GOOD)
    for values in ({"power": -3}, {"momentum": 0.5}, {"optimizer": "SGD", "scheduler.T_max": 7}):
        assert space.params(values, BASE) == values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pwer": -3}, ["'pwer'", "'power'"]),
        ({"power": -7}, ["power", "-7"]),
        ({"optimizer": "Adamm"}, ["Adamm", "SGD"]),
        ({"optimizer": "Adam", "momentum": 0.9}, ["'momentum'"]),
    ],
)
def test_parameters_that_a_function_does_not_ask_for_are_refused(
    opened: Open, values: dict[str, object], words: list[str]
) -> None:
    """One line says which, without a warning of Optuna's."""
    space = opened(GOOD)
    with warnings.catch_warnings(), pytest.raises(ConfigError) as caught:
        space.params(values, BASE)
    assert [word for word in words if word not in str(caught.value)] == []


def test_the_command_tries_a_function(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each parameter that it asks for."""
    reference = opened(GOOD).describe(BASE)["function"]
    assert main([reference]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted(names) == ["momentum", "optimizer", "power", "scheduler.T_max"]
