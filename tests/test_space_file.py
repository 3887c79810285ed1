"""A file of a search space: what is wrong in it is said with the line, before anything trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage  # noqa: F401 - the profile of hypothesis
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler

from sweeps.settings.config import SweepConfig
from sweeps.space.declared import DeclaredSpace
from sweeps.space.file import line_of, parse_space, space_of
from sweeps.space.space import FIELDS
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

BASE = TrainConfig(epochs=20)
TWO = 'optimizer = ["SGD", "Adam"]\n'


def error_of(text: str, base: TrainConfig = BASE) -> str:
    """What reading and checking the text says."""
    with pytest.raises(ConfigError) as caught:
        parse_space(text, "my.toml").check(base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("lr = x\n", "my.toml:1: ", ["Invalid value", "column 6"]),
        ("seed = 1\n\nlr = [0.1,\n", "my.toml:3: ", ["Invalid value"]),
        ("lr = [0.1]\nlr = [0.2]", "my.toml:2: ", ["overwrite"]),
        ("lr = { low = 1, high = 0.1 }", "my.toml:1: lr: ", ["low = 1", "high = 0.1"]),
        ("lr = { low = 0.1 }", "my.toml:1: lr: ", ["has no high"]),
        ("lr = { low = 0.1, hihg = 1 }", "my.toml:1: lr: ", ["'hihg'", "'high'"]),
        ("lr = { low = true, high = 1 }", "my.toml:1: lr: ", ["low must be a number", "true"]),
        ("\nstep_size = { low = 1, high = 'epoch' }", "my.toml:2: ", ["'epochs'", "got epoch"]),
        ("lr = { low = 0.5, high = 'epochs' }", "my.toml:1: lr: ", ["must have a whole number"]),
        ("gamma = { low = 0.1, high = 0.9, step = 0 }", "my.toml:1: gamma: ", ["above 0", "got 0"]),
        ("seed = { low = 1, high = 9, step = 0.5 }", "my.toml:1: seed: ", ["whole", "0.5", "1.0"]),
        (
            "lr = { low = 0.0, high = 1.0, log = true }",
            "my.toml:1: lr: ",
            ["low", "above 0", "log"],
        ),
        ("lr = { low = 0, high = 1, grid = '1-2-5' }", "my.toml:1: lr: ", ["above 0", "grid"]),
        ("lr = { low = 0.1, high = 1, log = 1 }", "my.toml:1: lr: ", ["log must be true or false"]),
        ("lr = { low = 0.1, high = 1, grid = '1-3' }", "my.toml:1: lr: ", ["'1-3'", "'1-2-5'"]),
        (
            "lr = { low = 0.3, high = 0.4, grid = '1-2-5' }",
            "my.toml:1: lr: ",
            ["0.3 to 0.4", "0.2 and 0.5"],
        ),
        (
            "lr = { low = 0.1, high = 1.0, step = 0.1, log = true }",
            "my.toml:1: lr: ",
            ["only one of step, log and grid"],
        ),
        ("seed = 1\noptimizer = []", "my.toml:2: optimizer: ", ["must not be empty"]),
        ('seed = 1\noptimizer = [\n"SGD",\n"SGD"]', "my.toml:2: optimizer: ", ["SGD", "twice"]),
        ("momentum = [0, 0.0]", "my.toml:1: momentum: ", ["0 occurs twice"]),
        ("lr = [0.1, inf]", "my.toml:1: lr: ", ["finite", "inf"]),
        ("lr = [2026-01-01]", "my.toml:1: lr: ", ["2026-01-01"]),
        ("batch_size = 32", "my.toml ", ["at least one parameter to search"]),
        ("", "my.toml ", ["at least one parameter to search"]),
        ("epochs = [5, 10]", "my.toml:1: epochs cannot be searched: ", ["--epochs"]),
        ("dataset = ['a.npz', 'b.npz']", "my.toml:1: dataset cannot ", ["the same images"]),
        ("threads = [1, 2]", "my.toml:1: threads cannot be searched: ", []),
        ("optimizer_args = [1, 2]", "my.toml:1: optimizer_args cannot ", ["momentum ="]),
        ("when = 5", "my.toml: ", ["[when.optimizer.SGD]"]),
        ("[when.optimizer]\nlr = [0.1]", "my.toml: [when.optimizer] ", ["[when.optimizer.VALUE]"]),
        (f"{TWO}[when.optimizer.Sgd]\nlr = [0.1]", "my.toml:3: [when.optimizer.Sgd]", ["'SGD'"]),
        ("lr = [0.1]\n[when.optimiser.SGD]\nlr = [0.2]", "my.toml:3: ", ["'optimiser'"]),
        (
            "lr = { low = 0.1, high = 1.0 }\n[when.lr.1]\ngamma = [0.2]",
            "my.toml:3: [when.lr.1]",
            ["lr", "has a range"],
        ),
        (
            f"{TWO}seed = [0, 1]\n[when.optimizer.SGD]\nlr = [0.1]\n[when.seed.1]\nlr = [0.2]",
            "my.toml:6: [when.seed.1]",
            ["lr must depend on one other name", "optimizer", "Python function"],
        ),
        (
            "lr = [1, 2]\nseed = [1, 2]\n[when.lr.1]\nseed = [3]\n[when.seed.1]\nlr = [3]",
            "my.toml:1: ",
            ["in a circle", "lr, seed"],
        ),
    ],
)
def test_what_cannot_be_is_said_with_its_line(text: str, start: str, words: list[str]) -> None:
    """One line: where, what was got, what may be."""
    message = error_of(text)
    assert message.startswith(start)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        (
            f"{TWO}momentum = [0.0, 0.9]",
            "my.toml:2: momentum = 0 is invalid: Unknown argument of Adam 'momentum'",
            ["[when.optimizer.NAME]"],
        ),
        (
            'optimizer = ["SGD", "Adagrad"]\nscheduler = ["StepLR", "OneCycleLR"]',
            "my.toml:2: scheduler = OneCycleLR is invalid: OneCycleLR",
            ["Adagrad"],
        ),
        ('optimizer = ["SGD", "Adm"]', "my.toml:1: optimizer = Adm is invalid: ", ["'Adam'"]),
        ("batchsize = [32, 64]", "my.toml:1: batchsize = 32 is invalid", ["mean 'batch_size'"]),
        ("lr = [0.1, -1]", "my.toml:1: lr = -1 is invalid: lr must be", ["above 0"]),
        (
            f'{TWO}[when.optimizer.SGD]\nmomentum = [0.0, "much"]',
            "my.toml:3: momentum = much is invalid: SGD(momentum='much')",
            [],
        ),
        (
            'scheduler = ["StepLR", "CosineAnnealingWarmRestarts"]',
            "my.toml:1: scheduler = CosineAnnealingWarmRestarts is invalid: ",
            ["needs scheduler.T_0"],
        ),
        (
            'seed = [0, 1]\n"scheduler.T_max" = [5, 10]',
            "my.toml:2: scheduler.T_max = 5 is invalid: Unknown argument of StepLR",
            [],
        ),
        ('model = ["tutorial", "vgg"]', "my.toml:1: model = vgg is invalid: ", ["tutorial"]),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is(
    text: str, start: str, words: list[str]
) -> None:
    """Whichever combination has it, with the name that is to blame."""
    message = error_of(text)
    assert message.startswith(start)
    assert [word for word in words if word not in message] == []


def test_bounds_of_epochs_follow_the_sweep() -> None:
    """What is wrong in a short sweep may be right in a longer one."""
    text = 'step_size = { low = 5, high = "epochs" }'
    parse_space(text, "my.toml").check(TrainConfig(epochs=5))
    message = error_of(text, TrainConfig(epochs=4))
    assert message.startswith("my.toml:1: step_size: low must not be above high")
    assert "4 epochs" in message


def test_arguments_of_the_base_that_an_optimizer_lacks_are_said() -> None:
    """The command line and the space must fit each other."""
    message = error_of(TWO, TrainConfig(optimizer_args={"momentum": 0.9}))
    assert message.startswith("my.toml:1: optimizer = Adam is invalid: Unknown argument of Adam")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("a",), 2),
        (("b",), 3),
        (("when", "a", "x.y:Z", "c"), 9),
        (("when", "a", "x", "scheduler.T_0"), 12),
        (("when", "a", "x", "scheduler.T_1"), 13),
        (("when", "a", "x", "d"), 14),
    ],
)
def test_lines_are_found_however_toml_is_written(keys: tuple[str, ...], line: int) -> None:
    """Values of several lines, quoted keys and dotted ones have the line that they begin on."""
    text = """# first
a = 1
b = [
  1,
  # more
  2,
]
[when.a."x.y:Z"]
c = 1

[when.a.x]
"scheduler.T_0" = 1
scheduler.T_1 = 2
d = { low = 1, high = 2 }
"""
    assert line_of(text, keys) == line


def test_steps_add_up_as_on_paper() -> None:
    """0.3 is 0.3, and a bound that no step leads to is left out without a warning."""
    space = parse_space("gamma = { low = 0.1, high = 0.95, step = 0.1 }", "my.toml")
    assert [point["gamma"] for point in space.points(BASE)] == [i / 10 for i in range(1, 10)]
    whole = parse_space("seed = { low = 1, high = 10, step = 4 }", "my.toml")
    assert [point["seed"] for point in whole.points(BASE)] == [1, 5, 9]
    whole.check(BASE)


def test_a_grid_of_whole_numbers_stays_whole() -> None:
    """Its kind is that of its bounds."""
    space = parse_space("batch_size = { low = 10, high = 100, grid = '1-2-5' }", "my.toml")
    assert space.describe(BASE) == {"batch_size": {"grid": [10, 20, 50, 100]}}
    space.check(BASE)


def test_a_dict_is_the_file_that_parses_to_it(tmp_path: Path) -> None:
    """Of tuples and of names that are numbers as well; later changes of it change nothing."""
    path = tmp_path / "space.toml"
    path.write_text(
        'optimizer = ["SGD", "Adam"]\nlr = { low = 1e-4, high = 1.0, grid = "1-2-5" }\n'
        "batch_size = [32, 64]\n[when.optimizer.SGD]\nmomentum = [0.0, 0.9]\n"
        "[when.batch_size.64]\nwarmup = 2\n"
    )
    space = {
        "optimizer": ("SGD", "Adam"),
        "lr": {"low": 1e-4, "high": 1.0, "grid": "1-2-5"},
        "batch_size": [32, 64],
        "when": {"optimizer": {"SGD": {"momentum": [0.0, 0.9]}}, "batch_size": {64: {"warmup": 2}}},
    }
    config, read = SweepConfig(space=space), SweepConfig(space=str(path))
    space["seed"] = [1, 2]
    assert config.search_space.describe(BASE) == read.search_space.describe(BASE)
    assert config.study_name == read.study_name


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"lr": {"low": 0.1, "hihg": 1}}, "space: lr: Unknown part of a range 'hihg'"),
        ({"epochs": [1, 2]}, "space: epochs cannot be searched"),
        ({"lr": 0.1}, "space must have at least one parameter to search"),
        ({"lr": [0.1, float("nan")]}, "space: lr: a value must be a finite number"),
        ({"when": {"lr": 1}}, "space: when must consist of tables"),
    ],
)
def test_what_is_wrong_in_a_dict_is_one_line(space: dict[str, Any], words: str) -> None:
    """As of a file, but that it has no lines."""
    with pytest.raises(ConfigError) as caught:
        SweepConfig(space=space).search_space.check(BASE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


NAMES = st.one_of(
    st.sampled_from([*FIELDS, "momentum", "model.width", "scheduler.T_max", "loss", "when"]),
    st.text(max_size=8),
)
PLAIN = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["SGD", "Adam", "epochs", "StepLR", "1-2-5"]),
    st.dates(),
)
NUMBERS = st.one_of(st.integers(-5, 50), st.floats(), st.just("epochs"))
RANGES = st.fixed_dictionaries(
    {"low": NUMBERS, "high": NUMBERS},
    optional={"step": NUMBERS, "log": st.booleans(), "grid": st.just("1-2-5")},
)
VALUES = st.recursive(
    st.one_of(PLAIN, RANGES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)
CASES = st.dictionaries(st.sampled_from(["SGD", "Adam", "\n"]), TABLES, max_size=2)
FILES = st.one_of(
    TABLES,
    st.builds(
        lambda table, when: {**table, "when": when},
        TABLES,
        st.one_of(VALUES, st.dictionaries(NAMES, CASES, max_size=2)),
    ),
)


@given(document=FILES)
def test_a_file_gives_trials_or_one_line(document: dict[str, Any]) -> None:
    """Whatever is in it: what is accepted suggests valid trials."""
    message, space = tried(lambda: space_of(document, parse=lambda raw: raw, base=BASE))
    assert message.isprintable()
    if space is not None:
        space.suggest(optuna.create_study(sampler=RandomSampler(seed=0)).ask(), BASE)


@given(text=st.text(alphabet="[]{}=,.\"'\n #ab1-lrwhen_5eE+\x1b", max_size=60))
def test_a_text_gives_a_space_or_one_line(text: str) -> None:
    """TOML or not."""
    message, _ = tried(lambda: parse_space(text, "my.toml", BASE))
    assert message.isprintable()


def tried(opened: Callable[[], DeclaredSpace]) -> tuple[str, DeclaredSpace | None]:
    """The space, checked; or what is wrong."""
    try:
        space = opened()
        space.check(BASE)
    except ConfigError as error:
        return str(error), None
    return "", space
