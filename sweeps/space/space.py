"""The protocol of search spaces, and the fields of a config that they may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from trainer.errors import ConfigError
from trainer.settings.config import OF_EVERY_RUN, TrainConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

SEARCHED = ("optimizer", "lr", "step_size", "gamma")
"""Parameters of the default space, which reports show first."""

_REFUSED = {
    **dict.fromkeys(
        ("dataset", "split", "limit", "image_size"), "all trials of a study have the same images"
    ),
    **dict.fromkeys(("device", "threads"), "all trials of a study are trained alike"),
    "epochs": "trials are compared epoch by epoch; use --epochs",
    **dict.fromkeys(("trainable", "trainable_args"), "all trials of a study have the same loop"),
    "unshared": "it determines which runs share epochs",
    "optimizer_args": "name each argument by itself, as in momentum = [0.0, 0.9]",
    "scheduler_args": 'name each argument by itself, as in "scheduler.T_max" = [5, 10]',
    "metrics": "all trials of a study are judged alike; use --metric",
    "metric_args": "all trials of a study are judged alike; use --set metric.NAME.ARGUMENT=VALUE",
    "loss_args": 'name each argument by itself, as in "loss.label_smoothing" = [0.0, 0.1]',
    "model_args": 'name each argument by itself, as in "model.width" = [32, 64]',
}

_LONGEST_NAME = 100

_COLUMNS = (
    *("trial", "state", "asked_epochs", "best_epoch", "trained_epochs", "reused_epochs"),
    *("retrained_epochs", "seconds", "started_at", "run_id"),
)

FIELDS = tuple(item.name for item in fields(TrainConfig) if item.name not in _REFUSED)
"""The fields of a config that trials may vary."""


class Space(Protocol):
    """A search space.

    `base` is the config shared by all trials; values from the space override it.

    Attributes:
        searched: names that the space sets in at least some trials.
        always: names that it sets in every trial.
        conditional: whether some of Optuna's parameters occur in some trials only.
    """

    searched: tuple[str, ...]
    always: tuple[str, ...]
    conditional: bool

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """Suggest the values of a trial, and make its config.

        Values that differ from Optuna's parameters become user attributes of the trial.

        Raises:
            ConfigError: the values are not a valid config.
        """
        ...

    def describe(self, base: TrainConfig) -> Any:
        """The space as a JSON value; equal descriptions mean equal spaces."""
        ...

    def check(self, base: TrainConfig) -> None:
        """Make the configs most likely to be invalid, so that errors appear before training.

        Raises:
            ConfigError: a config is invalid; the message has the place in the file and the reason.
        """
        ...

    def choices(self, name: str) -> tuple[Any, ...]:
        """Values of a parameter; empty if it is a range or unknown."""
        ...

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Optuna's parameters of every point of the space.

        Raises:
            ConfigError: the space is infinite or too large.
        """
        ...

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """Convert values to Optuna's parameters; names may be left out.

        Raises:
            ConfigError: an unknown name or invalid value; the message has the nearest valid one.
        """
        ...

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Optuna's distributions, by parameter; empty if the space is a function."""
        ...

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """Rows of a table: name with condition, number of values, and values."""
        ...


def check_name(name: str, base: TrainConfig) -> None:
    """Check that trials may vary a field of a config, or a name of the config of a trainable.

    Raises:
        ConfigError: they may not; the message has the reason.
    """
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ConfigError(
            f"The name of a parameter must be 1 to {_LONGEST_NAME} printable characters, but got "
            f"{name[:_LONGEST_NAME]!r}."
        )
    if base.trainable and name in _COLUMNS:
        raise ConfigError(f"{name} cannot be searched: reports have a column of that name.")
    if not base.trainable and name.startswith("metric."):
        raise ConfigError(f"{name} cannot be searched: {_REFUSED['metric_args']}.")
    if name in _REFUSED and (name in OF_EVERY_RUN or not base.trainable):
        raise ConfigError(f"{name} cannot be searched: {_REFUSED[name]}.")
