"""What every search space can do, and which fields of a config it may decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

SEARCHED = ("optimizer", "lr", "step_size", "gamma")
"""What reports show of a trial before all else; the default space decides them."""

_REFUSED = {
    **dict.fromkeys(
        ("dataset", "split", "limit", "image_size"), "all trials of a study have the same images"
    ),
    **dict.fromkeys(("device", "threads"), "all trials of a study are trained alike"),
    "epochs": "trials are compared epoch by epoch; give --epochs",
    "unshared": "it says which runs share epochs",
    "optimizer_args": "name each argument by itself, as in momentum = [0.0, 0.9]",
    "scheduler_args": 'name each argument by itself, as in "scheduler.T_max" = [5, 10]',
    "model_args": 'name each argument by itself, as in "model.width" = [32, 64]',
}

FIELDS = tuple(item.name for item in fields(TrainConfig) if item.name not in _REFUSED)
"""The fields of a config that trials may vary."""


class Space(Protocol):
    """What a trial may be.

    `base` is what all trials have in common; what the space decides goes before it.

    Attributes:
        searched: names that it decides, in some trials at least, as people see them.
        always: those of them that it decides in every trial.
        conditional: whether some parameter of Optuna's occurs in some trials only.
    """

    searched: tuple[str, ...]
    always: tuple[str, ...]
    conditional: bool

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """The config that `trial` stands for.

        Values that Optuna does not see as they are become user attributes of the trial.

        Raises:
            ConfigError: the space gives something that cannot be trained.
        """
        ...

    def describe(self, base: TrainConfig) -> Any:
        """All that decides what a trial may be, as a JSON value."""
        ...

    def check(self, base: TrainConfig) -> None:
        """Make the configs that can be refused, so that they are before anything is trained.

        Raises:
            ConfigError: with the place in the file, and the reason.
        """
        ...

    def choices(self, name: str) -> tuple[Any, ...]:
        """The values that a name can have; none where it has a range or is not known."""
        ...

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Optuna's parameters of every trial there can be, each once.

        Raises:
            ConfigError: there is no end of them, or too many.
        """
        ...

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """Optuna's parameters for values as people write them; not all names need be given.

        Raises:
            ConfigError: a name or a value that cannot be, with the nearest that can.
        """
        ...

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Each parameter of Optuna's that it can suggest; none where only a function knows."""
        ...

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """For people: each name with where it holds, how many values it has, and which."""
        ...


def check_name(name: str) -> None:
    """Refuse what trials may not vary.

    Raises:
        ConfigError: with the reason.
    """
    if name in _REFUSED:
        raise ConfigError(f"{name} cannot be searched: {_REFUSED[name]}.")
