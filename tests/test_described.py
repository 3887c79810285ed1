"""A described space: changed, and written as a file that is read back as the same space."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sweeps.space.described import (
    Change,
    changed,
    choices_of,
    entry_of,
    is_function,
    lines_of,
    to_toml,
)
from sweeps.space.file import default_text, parse_space
from sweeps.space.function import FunctionSpace
from trainer.settings.config import TrainConfig

ROOT = Path(__file__).parents[1]
BASE = TrainConfig(epochs=20)
ODD = """
optimizer = ["SGD", "my.module:Own"]
"model.width" = [8, 16]
"model.name" = ["a\\"b", "tab\\there", "Grüße", "del\\u007f", ""]
batch_size = { low = 10, high = 1000, grid = "1-2-5" }
weight_decay = { low = 1e-5, high = 0.1, log = true }
warmup = { low = 0, high = 9, step = 3 }
nesterov = true
[when.optimizer.SGD]
lr = { low = 1.2345678901234567e-05, high = 0.1, log = true }
betas = [[0.9, 0.999], [0.8, 0.9]]
[when.optimizer."my.module:Own"]
lr = { low = 0.001, high = 0.001, grid = "1-2-5" }
[when."model.width".8]
seed = [0]
"""
TEXTS = {
    "default": default_text(),
    "odd": ODD,
    **{path.name: path.read_text() for path in sorted((ROOT / "examples").glob("*.toml"))},
}


def described(text: str) -> Any:
    """The space of a text, as a study's file has it."""
    return json.loads(json.dumps(parse_space(text, "my.toml").describe(BASE)))


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_described_can_be_written_and_read_again(name: str) -> None:
    """To the last digit, the order of names included; grids stay grids in the file."""
    space = described(TEXTS[name])
    text = to_toml(space)
    assert json.dumps(described(text)) == json.dumps(space)
    assert text.count("1-2-5") == sum(
        "grid" in line for line in TEXTS[name].splitlines() if not line.startswith("#")
    )


def test_a_grid_of_other_numbers_becomes_choices() -> None:
    """The file format has no such grid; no value is lost."""
    text = to_toml({"lr": {"grid": [0.001, 0.003, 0.01]}})
    assert tomllib.loads(text) == {"lr": [0.001, 0.003, 0.01]}


def test_a_change_stands_where_its_condition_says() -> None:
    """The table is made where it is missing; what is given is left as it was."""
    space = described('optimizer = ["SGD", "Adam"]\nlr = [0.1, 0.2]')
    where = ("optimizer", "SGD")
    after = changed(space, [Change("lr", [0.3], where), Change("gamma", 0.5)])
    assert tomllib.loads(to_toml(after)) == {
        "optimizer": ["SGD", "Adam"],
        "lr": [0.1, 0.2],
        "gamma": 0.5,
        "when": {"optimizer": {"SGD": {"lr": [0.3]}}},
    }
    assert "when" not in space
    assert entry_of(after, "lr", {"optimizer": "SGD"}) == (where, [0.3])
    assert entry_of(after, "lr", {"optimizer": "Adam"}) == (None, [0.1, 0.2])
    assert entry_of(after, "momentum", {"optimizer": "Adam"}) == (None, None)


def test_changes_are_lines_that_parse() -> None:
    """The head of a table has a line of its own, and what is unconditional comes first."""
    where = ("optimizer", "my.module:Own")
    lines = lines_of([Change("lr", {"grid": [0.1, 0.2]}, where), Change("gamma", 0.5)])
    assert lines == [
        "gamma = 0.5",
        '[when.optimizer."my.module:Own"]',
        'lr = { low = 0.1, high = 0.2, grid = "1-2-5" }',
    ]


def test_tables_whose_condition_cannot_hold_any_more_are_removed() -> None:
    """Those that depend on names in such a table, too; a file with them could not be read."""
    space = described((ROOT / "examples/space.toml").read_text())
    assert choices_of(space, "scheduler") == [*["StepLR", "CosineAnnealingLR"] * 2, "none"]
    alone = changed(space, [Change("optimizer", "schedulefree:AdamWScheduleFree")])
    assert list(alone["when"]) == ["optimizer"]
    assert list(alone["when"]["optimizer"]) == ["schedulefree:AdamWScheduleFree"]
    parse_space(to_toml(alone), "my.toml")
    plain = changed(described('optimizer = ["SGD", "Adam"]\n[when.optimizer.SGD]\nlr = [1]'), [])
    assert "when" not in changed(plain, [Change("optimizer", "Adam")])


def test_a_function_is_no_space_to_be_written() -> None:
    """Its description names it, and has a digest of its code."""
    assert is_function(FunctionSpace("examples.own_space:suggest").describe(BASE))
    assert not is_function(described(default_text()))
    assert not is_function({})
