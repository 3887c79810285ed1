"""Command-line options that several commands share, and how a command ends."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.errors import ConfigError, TrainerError

Dataset = Annotated[
    str | None,
    typer.Option(help="cifar10, digits (needs no download) or a PATH.npz.", show_default="cifar10"),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="test: train on the test images as the tutorial does; train: on the training images.",
        show_default="test",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Train on the first N images, validate on N/5.", metavar="N"),
]
BatchSize = Annotated[int | None, typer.Option(help="Images per batch.", show_default="64")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.", show_default="20")]
Seed = Annotated[
    int | None, typer.Option(help="Of weights, data order and search.", show_default="0")
]
Threads = Annotated[int | None, typer.Option(help="Threads of one worker.", show_default="1")]
Device = Annotated[
    str | None,
    typer.Option(help="auto (a GPU where there is one), cpu or cuda.", show_default="auto"),
]
Checkpoints = Annotated[
    str,
    typer.Option(help="Checkpoints kept with a run: best, last, every:N (with commas) or none."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="MLflow's store.", show_default="MLFLOW_TRACKING_URI, else ./mlflow.db", metavar="URI"
    ),
]
Stages = Annotated[
    str | None,
    typer.Option(
        help="Folder or URL of the stage store.", show_default="./mlruns/stages", metavar="DIR"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets.", show_default="./dataset", metavar="DIR"),
]


def given(**values: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in values.items() if value is not None}


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE words, with values as Python writes them; what is none stays text.

    Raises:
        ConfigError: a word without "=".
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--set must be NAME=VALUE, but got {word!r}.")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        settings[name.strip()] = list(value) if isinstance(value, tuple) else value
    return settings


def run(app: typer.Typer, argv: Sequence[str] | None) -> int:
    """Run a command; its exit status: 0 done, 1 a known error, 2 wrong usage, 130 interrupted."""
    try:
        status = app(args=argv, standalone_mode=False)
    except typer.TyperException as error:  # wrong usage
        error.show()  # type: ignore[attr-defined] # typer does not type what it inherits
        return error.exit_code
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    return int(status or 0)
