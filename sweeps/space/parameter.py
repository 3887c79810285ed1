"""What one name of a search space may be: one value, one of some, one of a grid, or in a range.

Optuna sees numbers and texts, people see values; each kind here knows the way between the two.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweeps.space.values import exact, is_number, listed, nearest, same, shown
from trainer.errors import ConfigError, unknown

if TYPE_CHECKING:  # so that reading a space takes no Optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

EPOCHS = "epochs"
"""As a bound: the number of epochs of the sweep."""


class Parameter(ABC):
    """One of the kinds below. They are frozen: equal ones can have one name in Optuna.

    Attributes:
        hidden: whether Optuna sees something else than the value.
    """

    hidden = False

    def at(self, epochs: int) -> Parameter:
        """It, in a sweep of so many epochs; raises a ConfigError where it can then not be."""
        return self

    def key(self, name: str) -> str:
        """Optuna's name for it."""
        return name

    def draw(self, trial: BaseTrial, key: str) -> Any:
        """The value that a trial has."""
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

    def ends(self) -> list[Any]:
        """What Optuna sees for values which, where they can be trained, so can the others."""
        return list(self.seen())

    @abstractmethod
    def distribution(self) -> BaseDistribution | None:
        """What Optuna draws from, if anything."""

    @abstractmethod
    def value(self, seen: Any) -> Any:
        """The value for what Optuna sees."""

    @abstractmethod
    def count(self) -> int | None:
        """How many values there are; None: no end of them."""

    @abstractmethod
    def seen(self) -> Iterator[Any]:
        """What Optuna sees, for every value; of a range without steps, its bounds."""

    @abstractmethod
    def match(self, name: str, value: Any) -> Any:
        """What Optuna sees, for a value as people write it.

        Raises:
            ConfigError: it may not be; with the nearest that may.
        """

    @abstractmethod
    def describe(self) -> Any:
        """All of it as a JSON value."""


@dataclass(frozen=True)
class Choice(Parameter):
    """One of some values, in no order; of lists Optuna sees the text."""

    values: tuple[Any, ...]

    @property
    def hidden(self) -> bool:  # type: ignore[override] # that of the others is a constant
        """Whether there are lists among them."""
        return any(isinstance(value, list) for value in self.values)

    def distribution(self) -> BaseDistribution | None:
        """Categorical."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(self.seen()))

    def value(self, seen: Any) -> Any:
        """One of them."""
        return self.values[list(self.seen()).index(seen)]

    def count(self) -> int | None:
        """Of all."""
        return len(self.values)

    def seen(self) -> Iterator[Any]:
        """The values, lists as texts."""
        return (json.dumps(it) if isinstance(it, list) else it for it in self.values)

    def match(self, name: str, value: Any) -> Any:
        """What stands for the one that it is, but for rounding."""
        for known, seen in zip(self.values, self.seen(), strict=True):
            if same(known, value) or (isinstance(value, str) and value == seen):
                return seen
        if not all(map(is_number, (value, *self.values))):
            raise ConfigError(unknown(name, shown(value), map(shown, self.values)))
        near = nearest(name, self, value, self.values)
        return list(self.seen())[self.values.index(near)]

    def describe(self) -> Any:
        """A list."""
        return list(self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(shown, self.values))}"


class Fixed(Choice):
    """One value, of which Optuna knows nothing."""

    def distribution(self) -> BaseDistribution | None:
        """None."""
        return None

    def value(self, seen: Any) -> Any:
        """That value."""
        return self.values[0]

    def describe(self) -> Any:
        """That value."""
        return self.values[0]

    def __str__(self) -> str:
        return f"always {shown(self.values[0])}"


class Grid(Choice):
    """One of some numbers, in their order; Optuna sees the place of each, from 0."""

    hidden = True

    def key(self, name: str) -> str:
        """Says that it is a place."""
        return f"{name}_index"

    def distribution(self) -> BaseDistribution | None:
        """Whole numbers."""
        from optuna.distributions import IntDistribution

        return IntDistribution(0, len(self.values) - 1)

    def ends(self) -> list[Any]:
        """The first and the last."""
        return list(dict.fromkeys((0, len(self.values) - 1)))

    def seen(self) -> Iterator[Any]:
        """Places."""
        return iter(range(len(self.values)))

    def describe(self) -> Any:
        """The numbers, told from choices."""
        return {"grid": list(self.values)}

    def __str__(self) -> str:
        return f"one of {listed(self.values)}, in order"


@dataclass(frozen=True)
class Range(Parameter):
    """From `low` to `high`, both included: whole numbers if both are, else all between.

    Attributes:
        low: a number, or `EPOCHS`.
        high: as `low`, and not below it.
        step: between neighbours, counted from `low`; None: 1 for whole numbers, else no steps.
        log: whether a number is as likely as its double.
    """

    low: Any
    high: Any
    step: Any = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it has whole numbers only."""
        return not any(isinstance(bound, float) for bound in (self.low, self.high))

    def at(self, epochs: int) -> Range:
        """With the epochs for bounds that say so."""
        low, high = (epochs if bound == EPOCHS else bound for bound in (self.low, self.high))
        if low > high:
            where = f" in a sweep of {epochs} epochs" if EPOCHS in (self.low, self.high) else ""
            raise ConfigError(
                f"low must not be above high, but got low = {shown(low)}, "
                f"high = {shown(high)}{where}."
            )
        if self.step is not None:  # Optuna would warn of a bound that steps do not lead to
            steps = (exact(high) - exact(low)) // exact(self.step)
            high = type(low + self.step)(exact(low) + steps * exact(self.step))
        return replace(self, low=low, high=high)

    def distribution(self) -> BaseDistribution | None:
        """Of whole numbers, or of all."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(self.low, self.high, step=self.step or 1, log=self.log)
        return FloatDistribution(self.low, self.high, step=self.step, log=self.log)

    def value(self, seen: Any) -> Any:
        """On steps that add up as on paper: 0.3, not 0.30000000000000004."""
        if self.whole or self.step is None:
            return seen
        steps = round((exact(seen) - exact(self.low)) / exact(self.step))
        return float(exact(self.low) + steps * exact(self.step))

    def ends(self) -> list[Any]:
        """The least and the greatest."""
        return list(dict.fromkeys((self.low, self.high)))

    def count(self) -> int | None:
        """Of those that steps lead to."""
        step = self.step or (1 if self.whole else None)
        return step and round((exact(self.high) - exact(self.low)) / exact(step)) + 1

    def seen(self) -> Iterator[Any]:
        """Numbers."""
        count, step = self.count(), self.step or 1
        if count is None:
            return iter(self.ends())
        number = int if self.whole else float
        return (number(exact(self.low) + place * exact(step)) for place in range(count))

    def match(self, name: str, value: Any) -> Any:
        """The number itself, or the one it is but for rounding."""
        within = min(max(value, self.low), self.high) if is_number(value) else self.low
        if self.whole:  # steps are counted from low
            step = self.step or 1
            within = self.low + round((within - self.low) / step) * step
        return nearest(name, self, value, [self.value(within)])

    def describe(self) -> Any:
        """What it was made of."""
        more = {"step": self.step, "log": self.log}
        return {"low": self.low, "high": self.high} | {k: it for k, it in more.items() if it}

    def __str__(self) -> str:
        bounds = [shown(it).replace(EPOCHS, "the epochs") for it in (self.low, self.high)]
        words = [" to ".join(bounds)]
        words += ["whole"] if self.whole and self.step is None else []
        words += [f"by {shown(self.step)}"] if self.step is not None else []
        words += ["log"] if self.log else []
        return ", ".join(words)
