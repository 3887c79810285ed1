"""Parameters of a search space: fixed value, choice, grid or range.

A suggestion is a value as Optuna has it, such as the index in a grid or the text of a list; each
class here converts between suggestions and values of the config.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweeps.space.values import exact, listed, nearest, same, shown
from trainer.errors import ConfigError, unknown
from trainer.settings.fields import is_number

if TYPE_CHECKING:  # so that reading a space does not import Optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

EPOCHS = "epochs"
"""A bound that stands for the number of epochs of the sweep."""


class Parameter(ABC):
    """Base class of parameters; instances are frozen, and equal ones can share a name in Optuna.

    Attributes:
        encoded: whether suggestions differ from values.
    """

    encoded = False

    def resolve(self, epochs: int) -> Parameter:
        """The parameter in a sweep of `epochs` epochs; raises ConfigError if it is invalid then."""
        return self

    def key(self, name: str) -> str:
        """Optuna's name of the parameter."""
        return name

    def suggest(self, trial: BaseTrial, key: str) -> Any:
        """Suggest a value for a trial."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        item = self.distribution()
        if isinstance(item, CategoricalDistribution):
            return self.value(trial.suggest_categorical(key, item.choices))
        if isinstance(item, IntDistribution):
            return self.value(
                trial.suggest_int(key, item.low, item.high, step=item.step, log=item.log)
            )
        if isinstance(item, FloatDistribution):
            return self.value(
                trial.suggest_float(key, item.low, item.high, step=item.step, log=item.log)
            )
        return self.value(None)

    def bounds(self) -> list[Any]:
        """Suggestions at the bounds: if their values are valid, so are all values between."""
        return list(self.suggestions())

    @abstractmethod
    def distribution(self) -> BaseDistribution | None:
        """Optuna's distribution; None for a fixed value."""

    @abstractmethod
    def value(self, suggestion: Any) -> Any:
        """Convert a suggestion to a value."""

    @abstractmethod
    def count(self) -> int | None:
        """Number of values; None if it is infinite."""

    @abstractmethod
    def suggestions(self) -> Iterator[Any]:
        """All suggestions; for a range without steps, its bounds."""

    @abstractmethod
    def match(self, name: str, value: Any) -> Any:
        """Convert a value, perhaps rounded, to a suggestion; `name` is for the message.

        Raises:
            ConfigError: the value is not valid; the message has the nearest valid one.
        """

    @abstractmethod
    def describe(self) -> Any:
        """The parameter as a JSON value."""


@dataclass(frozen=True)
class Choice(Parameter):
    """An unordered choice; suggestions of lists are their JSON text."""

    values: tuple[Any, ...]

    @property
    def encoded(self) -> bool:  # type: ignore[override] # a constant in other classes
        """Whether some values are lists."""
        return any(isinstance(value, list) for value in self.values)

    def distribution(self) -> BaseDistribution | None:
        """Categorical distribution of the suggestions."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(self.suggestions()))

    def value(self, suggestion: Any) -> Any:
        """Value of a suggestion."""
        return self.values[list(self.suggestions()).index(suggestion)]

    def count(self) -> int | None:
        """Number of choices."""
        return len(self.values)

    def suggestions(self) -> Iterator[Any]:
        """The values, with lists as JSON text."""
        return (json.dumps(it) if isinstance(it, list) else it for it in self.values)

    def match(self, name: str, value: Any) -> Any:
        """Suggestion of an equal value, or of the same number except for rounding."""
        for known, suggestion in zip(self.values, self.suggestions(), strict=True):
            if same(known, value) or (isinstance(value, str) and value == suggestion):
                return suggestion
        if not all(map(is_number, (value, *self.values))):
            raise ConfigError(unknown(name, shown(value), map(shown, self.values)))
        near = nearest(name, self, value, self.values)
        return list(self.suggestions())[self.values.index(near)]

    def describe(self) -> Any:
        """List of the values."""
        return list(self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(shown, self.values))}"


class Fixed(Choice):
    """A single value, which is not a parameter in Optuna."""

    def distribution(self) -> BaseDistribution | None:
        """None, as there is nothing to suggest."""
        return None

    def value(self, suggestion: Any) -> Any:
        """The value, whatever the suggestion."""
        return self.values[0]

    def describe(self) -> Any:
        """The value itself."""
        return self.values[0]

    def __str__(self) -> str:
        return f"always {shown(self.values[0])}"


class Grid(Choice):
    """An ordered choice of numbers; suggestions are indices from 0."""

    encoded = True

    def key(self, name: str) -> str:
        """Name of the index in Optuna."""
        return f"{name}_index"

    def distribution(self) -> BaseDistribution | None:
        """Integer distribution of the index."""
        from optuna.distributions import IntDistribution

        return IntDistribution(0, len(self.values) - 1)

    def bounds(self) -> list[Any]:
        """First and last index."""
        return list(dict.fromkeys((0, len(self.values) - 1)))

    def suggestions(self) -> Iterator[Any]:
        """All indices."""
        return iter(range(len(self.values)))

    def describe(self) -> Any:
        """The numbers, marked as a grid."""
        return {"grid": list(self.values)}

    def __str__(self) -> str:
        return f"one of {listed(self.values)}, in order"


@dataclass(frozen=True)
class Range(Parameter):
    """A range from `low` to `high`, inclusive; of integers if both bounds are, else of floats.

    Attributes:
        low: a number, or `EPOCHS`.
        high: a number not below `low`, or `EPOCHS`.
        step: step from `low` on; None: 1 for integers, continuous for floats.
        log: whether the scale is logarithmic.
    """

    low: Any
    high: Any
    step: Any = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return not any(isinstance(bound, float) for bound in (self.low, self.high))

    def resolve(self, epochs: int) -> Range:
        """The range with `EPOCHS` replaced, and `high` rounded down to a step."""
        low, high = (epochs if bound == EPOCHS else bound for bound in (self.low, self.high))
        if low > high:
            where = f" in a sweep of {epochs} epochs" if EPOCHS in (self.low, self.high) else ""
            raise ConfigError(
                f"low must not be above high, but got low = {shown(low)}, "
                f"high = {shown(high)}{where}."
            )
        if self.step is not None:  # Optuna warns about a bound that is not on a step
            steps = (exact(high) - exact(low)) // exact(self.step)
            high = type(low + self.step)(exact(low) + steps * exact(self.step))
        return replace(self, low=low, high=high)

    def distribution(self) -> BaseDistribution | None:
        """Integer or float distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(self.low, self.high, step=self.step or 1, log=self.log)
        return FloatDistribution(self.low, self.high, step=self.step, log=self.log)

    def value(self, suggestion: Any) -> Any:
        """The number, on steps computed in decimal: 0.3, not 0.30000000000000004."""
        if self.whole or self.step is None:
            return suggestion
        steps = round((exact(suggestion) - exact(self.low)) / exact(self.step))
        return float(exact(self.low) + steps * exact(self.step))

    def bounds(self) -> list[Any]:
        """Lowest and highest number."""
        return list(dict.fromkeys((self.low, self.high)))

    def count(self) -> int | None:
        """Number of steps; None for a continuous range."""
        step = self.step or (1 if self.whole else None)
        return step and round((exact(self.high) - exact(self.low)) / exact(step)) + 1

    def suggestions(self) -> Iterator[Any]:
        """Numbers on all steps; of a continuous range, its bounds."""
        count, step = self.count(), self.step or 1
        if count is None:
            return iter(self.bounds())
        number = int if self.whole else float
        return (number(exact(self.low) + place * exact(step)) for place in range(count))

    def match(self, name: str, value: Any) -> Any:
        """The same number except for rounding."""
        within = min(max(value, self.low), self.high) if is_number(value) else self.low
        if self.whole:  # steps are counted from low
            step = self.step or 1
            within = self.low + round((within - self.low) / step) * step
        return nearest(name, self, value, [self.value(within)])

    def describe(self) -> Any:
        """Bounds, and step or log if given."""
        more = {"step": self.step, "log": self.log}
        return {"low": self.low, "high": self.high} | {k: it for k, it in more.items() if it}

    def __str__(self) -> str:
        bounds = [shown(it).replace(EPOCHS, "the epochs") for it in (self.low, self.high)]
        words = [" to ".join(bounds)]
        words += ["whole"] if self.whole and self.step is None else []
        words += [f"by {shown(self.step)}"] if self.step is not None else []
        words += ["log"] if self.log else []
        return ", ".join(words)
