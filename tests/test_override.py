"""`--set`: what is given in a line goes before the space and the config of all trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.run import main
from sweeps.settings.config import SweepConfig
from sweeps.space import open_space
from sweeps.space.override import override
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

BASE = TrainConfig(epochs=20)
MINE = """
optimizer = ["SGD", "Adam"]
lr = { low = 1e-4, high = 1.0, grid = "1-2-5" }
augment = "crop,flip"
scheduler.T_max = [5, 10]
[when.optimizer.SGD]
momentum = [0.0, 0.9]
lr = [0.1, 0.2]
[when.optimizer.Adam]
lr = [0.01, 0.02]
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The path of a space."""
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return str(path)


def described(space: str, *words: str, train: TrainConfig = BASE) -> Any:
    """The space that the words lead to."""
    train, made = override(train, space, words)
    return open_space(made, train).describe(train)


def test_without_words_nothing_changes(mine: str) -> None:
    """The path stays, so that messages have lines of the file."""
    assert override(BASE, mine, []) == (BASE, mine)


def test_a_name_of_the_space_gets_the_values_in_place_of_all_its_entries(mine: str) -> None:
    """Conditional ones as well; the rest stays, texts that look like several values too."""
    before, after = described(mine), described(mine, "lr=1e-4..1e-2")
    assert after["lr"] == {"low": 1e-4, "high": 1e-2, "log": True}
    assert after["when"] == {"optimizer": {"SGD": {"momentum": [0.0, 0.9]}}}
    rest = {"optimizer", "augment", "scheduler.T_max"}
    assert {name: after[name] for name in rest} == {name: before[name] for name in rest}


def test_conditions_that_can_no_longer_be_met_are_gone(mine: str) -> None:
    """Those of the values that are left stay."""
    after = described(mine, "optimizer=Adam,AdamW")
    assert after["when"] == {"optimizer": {"Adam": {"lr": [0.01, 0.02]}}}
    assert "when" not in described(mine, "optimizer=AdamW")


def test_the_default_space_is_overridden_too() -> None:
    """Fixed, chosen or a range."""
    after = described("", "optimizer=AdamW", "lr=0.1,0.2", "gamma=0.5..0.9/0.2")
    assert after == {
        "optimizer": "AdamW",
        "lr": [0.1, 0.2],
        "step_size": {"low": 1, "high": 20},
        "gamma": {"low": 0.5, "high": 0.9, "step": 0.2},
    }


def test_one_value_of_another_name_goes_into_the_config(mine: str) -> None:
    """As it always did, so that the study stays the same one."""
    train, space = override(BASE, mine, ["weight_decay=0.1", "batch_size=32", "model.width=8"])
    assert space == mine
    assert (train.batch_size, train.optimizer_args) == (32, {"weight_decay": 0.1})
    assert train.model_args == {"width": 8}
    assert override(BASE, "", ["weight_decay=0.1"]) == (
        BASE.override({"weight_decay": 0.1}),
        "",
    )


def test_several_values_of_another_name_are_searched() -> None:
    """In the space of all else."""
    assert described("", "batch_size=32,64")["batch_size"] == [32, 64]
    train, _ = override(BASE, "", ["scheduler=CosineAnnealingLR", "lr=0.1,0.2"])
    assert train.scheduler == "CosineAnnealingLR"
    after = described("", "scheduler=CosineAnnealingLR", "lr=0.1,0.2")
    assert after.keys() == {"optimizer", "lr"}


def test_arguments_fit_the_optimizers_that_are_searched() -> None:
    """The one of the config, which no trial has, refuses nothing."""
    train, space = override(BASE, "", ["optimizer=Adam,AdamW", "betas=(0.8, 0.9)"])
    assert train.optimizer_args == {"betas": [0.8, 0.9]}
    config = SweepConfig(train=train, space=space)
    config.search_space.check(train)
    assert config.references == []


def test_the_space_in_a_line_is_one_of_the_settings_of_the_study() -> None:
    """Other values are another study; the same in another spelling are the same one."""

    def name(*words: str) -> str:
        train, space = override(BASE, "", words)
        return SweepConfig(train=train, space=space).study_name

    assert name("lr=0.1,0.2") == name("lr=[0.1, 0.2]") != name("lr=0.1,0.3")
    assert name("optimizer=AdamW") != name()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr=1e-4..", "--set lr: must be a value (0.9), several (SGD,AdamW), or a range (1e-4.."),
        ("lrr=1..", "but got '1..'. Or is lr meant?"),
        ("lr", "--set must be NAME= and a value (0.9), several"),
        ("optimzer", "Or is optimizer meant?"),
        ("=1", "--set must be NAME= and a value"),
        ("gamma=0.1..0.9/0", "--set gamma: step must be a number above 0, but got 0."),
        ("lr=0.2..0.1", "--set lr: low must not be above high"),
        ("epochs=5,10", "epochs cannot be searched: trials are compared epoch by epoch"),
        ("learning_rate=0.1,0.2", "did you mean 'lr'?"),
        ("optimzer=AdamW", "did you mean 'optimizer'?"),
        ("momentm=0.1..0.9", "did you mean 'momentum'?"),
    ],
)
def test_nonsense_is_one_line_before_anything_starts(
    word: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the forms that there are, or the nearest right name."""
    monkeypatch.chdir(tmp_path)
    assert main(["--dataset", "digits", "--executor", "inline", "--dry-run", "--set", word]) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_function_takes_single_values_only(tmp_path: Path) -> None:
    """They go into the config, which its own values override."""
    space = "own_space:suggest"
    assert override(BASE, space, ["seed=3"]) == (BASE.override({"seed": 3}), space)
    with pytest.raises(ConfigError, match="--set lr must be one value, since the space own_space"):
        override(BASE, space, ["lr=0.1,0.2"])


def test_what_is_wrong_in_the_file_is_said_with_its_line(tmp_path: Path) -> None:
    """Although another name is overridden."""
    path = tmp_path / "bad.toml"
    path.write_text("optimizer = ['SGD', 'Adam']\nlr = { low = 0.1 }\n")
    with pytest.raises(ConfigError, match=r"bad\.toml:2: lr: a range must have low and high"):
        override(BASE, str(path), ["optimizer=SGD"])


def test_the_screen_says_which_space_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range over more than a decade is on a log scale."""
    monkeypatch.chdir(tmp_path)
    words = "--dataset digits --limit 50 --epochs 2 --executor inline --dry-run"
    assert main([*words.split(), "--set", "lr=1e-4..1e-2", "--set", "optimizer=SGD,AdamW"]) == 0
    printed = capsys.readouterr().out
    assert "  lr: 0.0001 to 0.01, log\n" in printed
    assert "  optimizer: one of SGD, AdamW\n" in printed
