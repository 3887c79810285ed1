"""`Execution`: how epochs are executed; `ConfirmConfig`: which trials are repeated; `Places`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import trainer.settings.paths
from trainer.errors import ConfigError
from trainer.settings.fields import check_fields, fraction, integer, one_of, positive, setting

EXECUTORS = ("local", "inline", "ray")


def parse_workers(text: str) -> int:
    """Parse a number of workers; "auto" is 0.

    Raises:
        ConfigError: the text is neither "auto" nor an integer of at least 1.
    """
    if text == "auto":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(
            f"workers must be auto or a whole number of at least 1, but got {text!r}."
        )
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Places(trainer.settings.paths.Places):
    """Where a sweep stores things; None: the default in the working folder."""

    storage: str | None = setting(
        None, "Optuna's storage URL.", metavar="URL", shown="./mlruns/studies/NAME.journal"
    )


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How epochs are executed, and where; it does not change the results of an epoch."""

    workers: int = setting(
        0,
        "Epochs trained in parallel.",
        integer(0),
        shown="auto: cores / threads, or GPUs; with ray those of all nodes",
        parse=parse_workers,
    )
    executor: str = setting(
        "local",
        "local: worker processes; inline: the main process, for a debugger; ray: a Ray cluster.",
        one_of(EXECUTORS),
    )
    ray_address: str = setting(
        "auto",
        "Ray's cluster: auto (RAY_ADDRESS, or the one of this machine), HOST:PORT, "
        "ray://HOST:PORT, or local (a new one on this machine, for a trial).",
        metavar="ADDRESS",
    )
    gpus_per_trial: float = setting(
        1.0, "Share of a GPU that each epoch in training takes, such as 0.25.", fraction
    )
    timeout: float | None = setting(
        None,
        "Start no new epoch after this many seconds, and end soon after.",
        positive,
        metavar="SECONDS",
    )
    epoch_timeout: float | None = setting(
        None,
        "Kill an epoch that takes longer than this, and fail its trials (local and ray).",
        positive,
        metavar="SECONDS",
    )
    takeover: bool = setting(
        False,
        "Take the study from a process on another machine that is gone for good, without waiting "
        "for 150 seconds of its silence.",
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def trials_per_gpu(self) -> int:
        """How many epochs train on a GPU at once."""
        return int(1 / self.gpus_per_trial + 1e-9)

    @property
    def execution(self) -> dict[str, Any]:
        """The fields of `Execution` by name, to pass to another config."""
        return {item.name: getattr(self, item.name) for item in fields(Execution)}


@dataclass(frozen=True, kw_only=True)
class ConfirmConfig(Execution):
    """Which trials of a study `confirm` trains again from other seeds."""

    study: str | None = setting(None, "Name of the study.", metavar="NAME", shown="the newest")
    top: int = setting(
        3, "Number of best trials; if values are compared, of each value.", integer(1)
    )
    repeats: int = setting(
        5,
        "Number of other seeds per trial; if values are compared, those after the second are "
        "only for the best trial of each value.",
        integer(1),
    )
