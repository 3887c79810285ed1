"""A trial of no study: whoever asks it for values is given those of a function, which it keeps."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

Suggest = Callable[[str, BaseDistribution], Any]


class AskedTrial(BaseTrial):
    """What a search space suggests, without a study.

    Args:
        suggest: gives the value of a parameter with this name and distribution.
        number: of the trial.
    """

    def __init__(self, suggest: Suggest, number: int = 0) -> None:
        self._suggest = suggest
        self._number = number
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: dict[str, float] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """As Optuna's."""
        return float(self._value(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """As Optuna's."""
        return int(self._value(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As Optuna's."""
        return self._value(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As Optuna's, which will drop it."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As Optuna's, which will drop it."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As Optuna's, which will drop it."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Nothing: it does not train."""

    def should_prune(self) -> bool:
        """Never."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep it."""
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        """Keep it."""
        self._constraints[key] = value

    @property
    def params(self) -> dict[str, Any]:
        """What it was asked for so far."""
        return self._params

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of the same."""
        return self._distributions

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What was set."""
        return self._user_attrs

    @property
    def constraints(self) -> dict[str, float]:
        """What was set."""
        return self._constraints

    @property
    def number(self) -> int:
        """Of the trial."""
        return self._number

    @property
    def datetime_start(self) -> datetime.datetime | None:
        """Never."""
        return None

    def _value(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            self._params[name] = self._suggest(name, distribution)
            self._distributions[name] = distribution
        return self._params[name]
