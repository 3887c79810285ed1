"""A space that is a Python function of an Optuna trial."""

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
"""Draws by which a function is known, as far as it can be."""


class FunctionSpace:
    """A `Space` of which nothing is known but what it gives.

    The function takes a trial and gives the values of a config by name, as `TrainConfig.having`
    takes them. For the same parameters it must give the same: finished trials are made again.

    Args:
        reference: `package.module:function`.

    Raises:
        ConfigError: there is no such function.
    """

    searched: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    conditional = True  # it may be

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._function = find("space", reference)
        if not callable(self._function):
            raise ConfigError(f"space {reference} must be a function, but is {self._function!r}.")

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """The config that `trial` stands for."""
        try:
            values = self._function(trial)
        except Exception as error:  # a user's function can raise anything
            raise ConfigError(
                f"space {self._reference} must give the values of a trial, but: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"space {self._reference} must give a dict of values by name, but got {values!r}."
            )
        try:
            for name in values:
                check_name(name)
            config = base.override(values)
            check_train(config)
        except ConfigError as error:
            raise ConfigError(f"space {self._reference}, given {trial.params}: {error}") from error
        for name, value in values.items():
            if name not in trial.params or trial.params[name] != value:
                trial.set_user_attr(name, value)
        return config

    def describe(self, base: TrainConfig) -> dict[str, str]:
        """Its name, and what tells its code from earlier states of it."""
        return {"function": self._reference, "code": code_digest(self._reference)}

    def check(self, base: TrainConfig) -> None:
        """Draw some trials, and make each again from its parameters, as a later start would."""
        for number in range(_TRIES):
            trial = _drawn(number)
            config = self.suggest(trial, base)
            again = self.suggest(FixedTrial(trial.params, trial.number), base)
            if again != config:
                raise ConfigError(
                    f"space {self._reference} must give the same for the same parameters, but for "
                    f"{trial.params} gave {config.label}, then {again.label}."
                )

    def choices(self, name: str) -> tuple[Any, ...]:
        """None is known."""
        return ()

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Not known."""
        raise ConfigError(
            f"A space must be a file where every point is to be tried, but is {self._reference}."
        )

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """The values, which must go by the names and the ranges that the function suggests."""
        names: set[str] = set()
        for number in range(_TRIES):
            trial = _drawn(number, values)
            with warnings.catch_warnings():  # of values that are out of their range
                warnings.simplefilter("error")
                self.suggest(trial, base)
            names |= trial.params.keys()
        for name in values:
            if name not in names:
                raise ConfigError(unknown(f"parameter of {self._reference}", name, names))
        return dict(values)

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Not known."""
        return {}

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """What some draws suggest."""
        found: dict[str, BaseDistribution] = {}
        for number in range(_TRIES):
            trial = _drawn(number)
            self.suggest(trial, base)
            found |= trial.distributions
        return [(name, "", str(item)) for name, item in found.items()]


def _drawn(number: int, values: Mapping[str, Any] | None = None) -> optuna.Trial:
    """A trial of no study, which draws at random what is not given."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    study.enqueue_trial(dict(values or {}))
    return study.ask()
