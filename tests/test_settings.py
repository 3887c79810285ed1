"""A setting is declared once; its flag, its help and its checks follow."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import sweeps.confirm
import sweeps.doctor.__main__
import sweeps.promote.__main__
import sweeps.report.__main__
import sweeps.run
import sweeps.space.__main__
import trainer.__main__
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import ConfirmConfig
from trainer.errors import ConfigError
from trainer.settings import flags
from trainer.settings.config import TrainConfig
from trainer.settings.fields import (
    check_fields,
    fraction,
    integer,
    one_of,
    positive,
    setting,
    settings_of,
    subset_of,
)

ROOT = Path(__file__).parent.parent
STORED = {"--tracking-uri", "--data-dir"}
TRAINED = {
    "--accumulate", "--augment", "--batch-size", "--checkpoints", "--clip-grad-norm", "--dataset",
    "--deterministic", "--device", "--ema-decay",
    "--epochs", "--image-size", "--limit", "--loss", "--metric", "--model", "--no-deterministic",
    "--no-shuffle", "--normalize", "--scheduler", "--scheduler-interval", "--seed", "--set",
    "--shuffle", "--split", "--stages", "--state-budget", "--threads", "--trainable",
    "--warmup", "--warmup-start",
} | STORED  # fmt: skip
EXECUTED = {
    "--epoch-timeout", "--executor", "--gpus-per-trial", "--ray-address", "--repeats",
    "--storage", "--takeover", "--timeout", "--workers",
}  # fmt: skip
FLAGS = {
    trainer.__main__: TRAINED
    | {"--from-run", "--gamma", "--lr", "--optimizer", "--preset", "--step-size", "--verify"},
    sweeps.run: TRAINED
    | EXECUTED
    | {
        "--compare", "--concurrent-trials", "--confirm", "--description", "--direction",
        "--dry-run", "--enqueue", "--fresh", "--no-promote", "--patience", "--target",
        "--until-settled",
        "--objective", "--promote", "--pruner", "--pruner-arg", "--sampler", "--sampler-arg",
        "--search-seed", "--space", "--study", "--tag", "--trials",
    },
    sweeps.confirm: EXECUTED | STORED | {"--stages", "--state-budget", "--study", "--top"},
    sweeps.promote.__main__: STORED | {"--study", "--trial"},
    sweeps.doctor.__main__: STORED
    | {"--fix", "--prune-older-than", "--stages", "--state-budget", "--storage"},
    sweeps.report.__main__: {
        "--format", "--frame", "--next", "--out", "--study", "--tracking-uri", "-o",
    },
    sweeps.space.__main__: {"--epochs", "--show", "--trainable"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Extended(TrainConfig):
    """A config class to which somebody added fields."""

    clip: float | None = setting(None, "Clip gradients at this norm.", positive, metavar="NORM")
    accumulate: int = setting(1, "Batches in a step.", integer(1, below=256))
    ema: bool = setting(False, "Average the weights.")
    compiled: bool = setting(True, "Compile the network.")
    layout: str = setting("rows", "Order in memory.", one_of(("rows", "columns")), flag="--order")
    views: str = setting("", "What is shown.", subset_of("top", "side"), shown="nothing")
    decay: float = setting(0.5, "Of the average.", fraction)
    half: int = setting(0, "Epochs at half size.", parse=lambda text: len(text))
    hints: Mapping[str, Any] = setting({}, "Hints for the compiler.", flag="--hint")
    tags: tuple[str, ...] = setting((), "Words to find it by.", flag="--tag", metavar="WORD")
    hidden: str = setting("", "Set by other code.", flag="")


def command_of(made: list[Extended]) -> typer.Typer:
    """A command that makes the config of what was given."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    @flags.takes
    def command(config: Extended) -> int:
        made.append(config)
        return 0

    return app


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("", {}),
        ("--clip 0.5 --lr 1", {"clip": 0.5, "lr": 1.0}),
        ("--ema --no-compiled --no-shuffle", {"ema": True, "compiled": False, "shuffle": False}),
        ("--order columns --views side,top", {"layout": "columns", "views": "top,side"}),
        ("--half abc", {"half": 3}),
        ("--hint a=1 --hint b=x", {"hints": {"a": 1, "b": "x"}}),
        ("--tag x --tag y", {"tags": ("x", "y")}),
    ],
)
def test_a_new_field_is_a_flag(words: str, values: dict[str, Any]) -> None:
    """Nothing but the field was written, and fields of the base class are flags as well."""
    made: list[Extended] = []
    assert flags.run(command_of(made), words.split()) == 0
    assert made == [Extended(**values)]


def test_a_new_field_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """With its line, what stands for its value, and its default."""
    assert flags.run(command_of([]), ["--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "--clip NORM Clip gradients at this norm.",
        "--accumulate <int> Batches in a step. [default: (1)]",
        "--compiled / --no-compiled Compile the network. [default: (compiled)]",
        "What is shown. [default: (nothing)]",
        "--hint NAME=VALUE Hints for the compiler.",
    ):
        assert words in printed
    assert "hidden" not in printed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("clip", 0, "clip must be a number above 0, but got 0."),
        ("clip", float("inf"), "clip must be a number above 0, but got inf."),
        ("accumulate", 0, "accumulate must be a whole number of at least 1, but got 0."),
        ("accumulate", True, "accumulate must be a whole number of at least 1, but got True."),
        ("accumulate", 256, "accumulate must be below 2**8, but got 256."),
        ("ema", 1, "ema must be true or false, but got 1."),
        ("layout", "row", "Unknown layout 'row'; did you mean 'rows'? Choices: columns, rows."),
        ("views", "tip", "Unknown views 'tip'; did you mean 'top'? Choices: side, top."),
        ("decay", 0, "decay must be in (0, 1], but got 0."),
        ("hints", "a=1", "hints must be arguments by name, but got 'a=1'."),
    ],
)
def test_a_new_field_is_checked(field: str, value: object, message: str) -> None:
    """On construction, with what was got and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        Extended(**{field: value})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_wrong_value_on_the_command_line_is_an_error_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """1 where the config refuses it, 2 where it is no value of that type or no such flag."""
    app = command_of([])
    assert flags.run(app, ["--decay", "2"]) == 1
    assert capsys.readouterr().err == "error: decay must be in (0, 1], but got 2.0.\n"
    assert flags.run(app, ["--decay", "much"]) == 2
    assert flags.run(app, ["--deca", "0.1"]) == 2
    assert "--decay" in capsys.readouterr().err.rpartition("--deca ")[2]


def test_a_command_can_ask_what_was_given() -> None:
    """A value that is the default counts as given; fields that are left out have no flag."""
    app, seen = typer.Typer(add_completion=False), list[flags.Given]()
    some = flags.Flags(Extended, but=["ema"], only=["decay", "ema", "lr"])

    @app.command()
    @flags.takes
    def command(given: Annotated[flags.Given, some], more: int = 0) -> int:
        seen.append(given)
        return more

    assert flags.run(app, ["--decay", "0.5", "--more", "3"]) == 3
    assert seen == [{"decay": 0.5}]
    assert flags.run(app, ["--ema"]) == 2
    assert flags.run(app, ["--clip", "1"]) == 2


@pytest.mark.parametrize("module", FLAGS, ids=lambda module: module.__name__)
def test_flags_do_not_go_by_accident(module: Any) -> None:
    """Scripts use them; a new one is added here, too."""
    found = typer.main.get_command(module.app).params
    flags = {flag for it in found for flag in (*it.opts, *it.secondary_opts)}
    assert {flag for flag in flags if flag.startswith("-")} - {"--help"} == FLAGS[module]


@pytest.mark.parametrize("config", [TrainConfig, SweepConfig, ConfirmConfig])
def test_every_field_is_declared_as_a_setting(config: type) -> None:
    """A field without help has no flag, which its author would notice late."""
    declared = {item.name: about for item, about in settings_of(config)}
    assert set(vars(config())) - {"train"} == declared.keys()
    assert all(about.help.endswith(".") for about in declared.values())


def test_constructing_configs_imports_nothing_slow_and_reads_no_file() -> None:
    """A space or code that is not there is missed when the config is checked, or used."""
    code = (
        "import sys\n"
        "from sweeps.settings.config import SweepConfig\n"
        "from trainer.settings.config import TrainConfig\n"
        "train = TrainConfig(model='no:where', optimizer='Adam', optimizer_args={'beta': 1})\n"
        "SweepConfig(train=train, space='none.toml', sampler='no:Where', pruner='MedianPruner')\n"
        "slow = {'torch', 'mlflow', 'optuna', 'pandas', 'numpy', 'sklearn'}\n"
        "print(slow & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"


@pytest.mark.parametrize(
    "module",
    [
        "sweeps.run",
        "sweeps.confirm",
        "sweeps.promote.__main__",
        "sweeps.doctor.__main__",
        "sweeps.space.__main__",
    ],
)
def test_help_of_a_sweep_imports_nothing_slow(module: str) -> None:
    """It is printed at once."""
    code = (
        f"import sys\nfrom {module} import main\nstatus = main(['--help'])\n"
        "slow = {'torch', 'mlflow', 'optuna', 'pandas', 'numpy', 'sklearn'}\n"
        "print(status, slow & set(sys.modules))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert printed.splitlines()[-1] == "0 set()"


def test_a_check_may_put_a_value_into_its_usual_form() -> None:
    """The field has what the check returns."""

    @dataclass(frozen=True)
    class Config:
        word: str = setting("", "A word.", lambda name, got: got.strip())

        def __post_init__(self) -> None:
            check_fields(self)

    assert Config(word=" a ") == Config(word="a")
