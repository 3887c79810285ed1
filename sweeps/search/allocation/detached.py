"""`DetachedTrial`: evaluates a search space without an Optuna study."""

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


class DetachedTrial(BaseTrial):
    """An Optuna trial without a study: a function supplies the values, and it records them.

    Args:
        suggest: returns the value of a parameter with this name and distribution.
        number: number of the trial.
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
        """Suggest a float."""
        return float(self._value(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Suggest an integer."""
        return int(self._value(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices."""
        return self._value(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Suggest a float; deprecated in Optuna."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Suggest a float on a logarithmic scale; deprecated in Optuna."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Suggest a float with a step; deprecated in Optuna."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Do nothing: the trial is not trained."""

    def should_prune(self) -> bool:
        """Never prune."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Record a user attribute."""
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        """Record a constraint."""
        self._constraints[key] = value

    @property
    def params(self) -> dict[str, Any]:
        """Values suggested so far, by name."""
        return self._params

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions of the suggested values, by name."""
        return self._distributions

    @property
    def user_attrs(self) -> dict[str, Any]:
        """User attributes set so far."""
        return self._user_attrs

    @property
    def constraints(self) -> dict[str, float]:
        """Constraints set so far."""
        return self._constraints

    @property
    def number(self) -> int:
        """Number of the trial."""
        return self._number

    @property
    def datetime_start(self) -> datetime.datetime | None:
        """None, as it never starts."""
        return None

    def _value(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            self._params[name] = self._suggest(name, distribution)
            self._distributions[name] = distribution
        return self._params[name]
