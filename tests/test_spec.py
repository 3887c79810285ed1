"""Specs: the values of a parameter in one line, as `--set` and the dict of a space have them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.settings.config import SweepConfig
from sweeps.space.spec import FORMS, parse_spec, spelled
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

BASE = TrainConfig(epochs=20)


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("0.9", 0.9),
        ("AdamW", "AdamW"),
        (" mine:Class ", "mine:Class"),
        ("true", True),
        ("False", False),
        ('"a,b..c"', "a,b..c"),
        ("SGD,AdamW", ["SGD", "AdamW"]),
        ("0, 0.9", [0, 0.9]),
        ("true,false", [True, False]),
        ("(0.8, 0.9)", [[0.8, 0.9]]),
        ("[[0.8, 0.9], [0.9, 0.99]]", [[0.8, 0.9], [0.9, 0.99]]),
        ("1e-4..1e-2", {"low": 1e-4, "high": 1e-2, "log": True}),
        ("16..512", {"low": 16, "high": 512, "log": True}),
        ("0.01..0.1", {"low": 0.01, "high": 0.1}),
        ("0..100", {"low": 0, "high": 100}),
        ("-2..50", {"low": -2, "high": 50}),
        ("0.1..0.9/0.1", {"low": 0.1, "high": 0.9, "step": 0.1}),
        ("1..100/5", {"low": 1, "high": 100, "step": 5}),
        ("1..epochs", {"low": 1, "high": "epochs"}),
        ("{ low = 1e-4, high = 1.0, grid = '1-2-5' }", {"low": 1e-4, "high": 1.0, "grid": "1-2-5"}),
        (0.5, 0.5),
    ],
)
def test_a_spec_is_read_as_the_value_of_a_file(text: Any, raw: Any) -> None:
    """A range is logarithmic where it spans more than a decade, unless it has steps."""
    assert parse_spec(text) == raw


@pytest.mark.parametrize(
    "text", ["", "1..", "..1", "1..x", "1..2/", "1,,2", "SGD,", "{low=1", "[1"]
)
def test_what_has_none_of_the_forms_is_refused_with_the_forms(text: str) -> None:
    """In one line."""
    with pytest.raises(ConfigError) as caught:
        parse_spec(text)
    assert str(caught.value) == f"must be {FORMS}, but got {text!r}."


PLAIN = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@pytest.mark.slow
@given(PLAIN)
def test_a_value_that_is_spelled_is_read_as_that_value(value: Any) -> None:
    """Texts that look like numbers, ranges or several values, too."""
    read = parse_spec(spelled(value))
    assert read == value
    assert type(read) is type(value)


@given(st.lists(PLAIN, min_size=1))
def test_a_list_that_is_spelled_is_one_value(value: list[Any]) -> None:
    """Not several."""
    assert parse_spec(spelled(value)) == [value]


def test_a_dict_of_specs_is_the_space_of_its_file() -> None:
    """Under conditions, too; a copy of the config has the same space."""
    specs = SweepConfig(
        space={
            "optimizer": "SGD,Adam",
            "lr": "1e-4..1e-2",
            "augment": '"crop,flip"',
            "when": {"optimizer": {"SGD": {"momentum": "0.5..0.9/0.1"}}},
        }
    )
    plain = {
        "optimizer": ["SGD", "Adam"],
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "augment": "crop,flip",
        "when": {"optimizer": {"SGD": {"momentum": {"low": 0.5, "high": 0.9, "step": 0.1}}}},
    }
    assert specs.search_space.describe(BASE) == plain
    assert SweepConfig(space=specs.space).settings() == specs.settings()


def test_distributions_of_optuna_are_entries_of_a_space() -> None:
    """As they are."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = {
        "lr": FloatDistribution(1e-4, 0.1, log=True),
        "gamma": FloatDistribution(0.1, 0.9, step=0.1),
        "weight_decay": FloatDistribution(0, 1),
        "batch_size": IntDistribution(16, 512, log=True),
        "step_size": IntDistribution(1, 9, step=2),
        "optimizer": CategoricalDistribution(["SGD", "Adam"]),
    }
    config = SweepConfig(space=space)
    assert config.search_space.distributions(BASE) == space


def test_what_is_wrong_in_a_spec_of_a_dict_is_one_line() -> None:
    """With the name."""
    with pytest.raises(ConfigError, match=r"space: lr: must be a value .*, but got '1\.\.'"):
        _ = SweepConfig(space={"lr": "1.."}).search_space
    with pytest.raises(ConfigError, match="space must have plain values, but: got <object"):
        SweepConfig(space={"lr": object()})
