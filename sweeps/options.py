"""Command-line options that several commands of a sweep share."""

from __future__ import annotations

from typing import Annotated

import typer

from trainer.errors import ConfigError

Study = Annotated[
    str | None,
    typer.Option(help="Name of the study.", show_default="the newest", metavar="NAME"),
]
SamplerArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--sampler-arg",
        help="Argument of the sampler's class (n_startup_trials=20).",
        metavar="NAME=VALUE",
    ),
]
PrunerArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--pruner-arg",
        help="Argument of the pruner's class (n_warmup_steps=3).",
        metavar="NAME=VALUE",
    ),
]
Workers = Annotated[
    str, typer.Option(help="Epochs trained at once.", show_default="auto: cores / threads")
]
Executor = Annotated[
    str, typer.Option(help="local: worker processes; inline: this one, for a debugger.")
]
Timeout = Annotated[
    float | None,
    typer.Option(help="Begin no epoch after so many seconds.", metavar="SECONDS"),
]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Optuna's storage URL.",
        show_default="./mlruns/studies/NAME.journal",
        metavar="URL",
    ),
]
Repeats = Annotated[
    int, typer.Option(help="Other seeds that a trial to be confirmed is trained from.")
]


def parse_workers(text: str) -> int:
    """How many workers: "auto" is 0.

    Raises:
        ConfigError: another word, or a number below 1.
    """
    if text == "auto":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(
            f"workers must be auto or a whole number of at least 1, but got {text!r}."
        )
    return int(text)
