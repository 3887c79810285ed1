"""A search space defined by a Python function of an Optuna trial."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial, FixedTrial

from sweeps.space.space import check_name
from trainer.errors import ConfigError, unknown
from trainer.settings.config import TrainConfig
from trainer.settings.references import code_digest, find
from trainer.training.check import check_train

_TRIES = 20
"""Number of random trials with which a function is explored."""


class FunctionSpace:
    """A `Space` defined by a function, which can be explored only by calling it.

    The function takes a trial and returns values for `TrainConfig.override`. It must return the
    same values for the same parameters, as configs of finished trials are made again.

    Args:
        reference: `package.module:function`.

    Raises:
        ConfigError: the function does not exist.
    """

    searched: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    conditional = True  # perhaps; it cannot be known

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._function = find("space", reference)
        if not callable(self._function):
            raise ConfigError(f"space {reference} must be a function, but is {self._function!r}.")

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """Call the function with a trial, and make its config."""
        try:
            values = self._function(trial)
        except Exception as error:  # a user's function can raise anything
            raise ConfigError(
                f"space {self._reference} must return the values of a trial, but: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"space {self._reference} must return a dict of values, but returned {values!r}."
            )
        try:
            for name in values:
                check_name(name, base)
            config = base.override(values)
            check_train(config)
        except ConfigError as error:
            raise ConfigError(f"space {self._reference}, for {trial.params}: {error}") from error
        for name, value in values.items():
            if name not in trial.params or trial.params[name] != value:
                trial.set_user_attr(name, value)
        return config

    def describe(self, base: TrainConfig) -> dict[str, str]:
        """Reference to the function, and a digest of its code."""
        return {"function": self._reference, "code": code_digest(self._reference)}

    def check(self, base: TrainConfig) -> None:
        """Draw random trials, and make each again from its parameters, as a resumed study does."""
        for number in range(_TRIES):
            trial = random_trial(number)
            config = self.suggest(trial, base)
            again = self.suggest(FixedTrial(trial.params, trial.number), base)
            if again != config:
                raise ConfigError(
                    f"space {self._reference} must return the same values for the same parameters, "
                    f"but for {trial.params} returned {config.label}, then {again.label}."
                )

    def choices(self, name: str) -> tuple[Any, ...]:
        """Nothing, as they are unknown."""
        return ()

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Raise ConfigError, as they are unknown."""
        raise ConfigError(
            f"A space must be a file, so that every point can be tried, but is {self._reference}."
        )

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """The values themselves, after checking names and ranges with random trials."""
        names: set[str] = set()
        for number in range(_TRIES):
            trial = random_trial(number, values)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Optuna warns about values out of range
                self.suggest(trial, base)
            names |= trial.params.keys()
        for name in values:
            if name not in names:
                raise ConfigError(unknown(f"parameter of {self._reference}", name, names))
        return dict(values)

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Nothing, as they are unknown."""
        return {}

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """Rows of a table: each parameter that random trials suggested, with its distribution."""
        found: dict[str, BaseDistribution] = {}
        for number in range(_TRIES):
            trial = random_trial(number)
            self.suggest(trial, base)
            found |= trial.distributions
        return [(name, "", str(item)) for name, item in found.items()]


def random_trial(number: int, values: Mapping[str, Any] | None = None) -> optuna.Trial:
    """A random trial with some values fixed, in a temporary study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    study.enqueue_trial(dict(values or {}))
    return study.ask()
