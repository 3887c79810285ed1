"""A search space of declared parameters, some of them conditional on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeps.space.entries import Entries, Entry
from sweeps.space.parameter import Parameter
from sweeps.space.space import FIELDS
from sweeps.space.values import shown
from trainer.errors import CodeFailed, ConfigError, unknown
from trainer.settings.apart import tried_briefly
from trainer.settings.config import NICKNAMES, TrainConfig, near_field

if TYPE_CHECKING:  # so that reading a space takes no Optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

MOST_POINTS = 100_000
"""Maximum size of a grid; a larger one is most likely a mistake."""

_DECISIVE = ("optimizer", "scheduler", "model")  # they determine which arguments are valid


class DeclaredSpace:
    """A `Space` of declared entries.

    Args:
        entries: all entries, in the order of the file.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.searched = tuple(entries.names)
        self.always = tuple(it for it in entries.names if None not in entries.branches(it))
        self.conditional = any(map(entries.is_conditional, entries.names))

    def without(self, *names: str) -> DeclaredSpace:
        """The space without these names."""
        return DeclaredSpace(Entries([it for it in self._entries if it.name not in names]))

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """Suggest the values of a trial, and make its config."""
        values: dict[str, Any] = {}
        encoded = []
        for entry in self._entries.active(values):
            parameter = entry.resolve(base.epochs)
            values[entry.name] = parameter.suggest(trial, self._entries.keys.get(entry, ""))
            encoded += [entry.name] if parameter.encoded else []
        for name in encoded:
            trial.set_user_attr(name, values[name])
        return _make_config(base, values)

    def describe(self, base: TrainConfig) -> dict[str, Any]:
        """Parameters by name, conditional ones under "when"."""
        described: dict[str, Any] = {}
        for name in self._entries.names:
            for entry in self._entries.of(name):
                table = described
                for word in ("when", *entry.where) if entry.where else ():
                    table = table.setdefault(word, {})
                table[name] = entry.resolve(base.epochs).describe()
        return described

    def check(self, base: TrainConfig) -> None:
        """Make the configs at the bounds of the space.

        Parameters on which others depend are combined; of the rest, one is varied at a time, as
        there would be too many combinations.
        """
        decisive = {*_DECISIVE, *self._entries.parents.values()}

        def bounds(entry: Entry, parameter: Parameter) -> list[Any]:
            return parameter.bounds() if entry.name in decisive else parameter.bounds()[:1]

        with tried_briefly():
            for values, _ in self._entries.combinations(bounds, base.epochs):
                self._make(base, values, decisive)
                for entry in self._entries.active(values):
                    parameter = entry.resolve(base.epochs)
                    for bound in parameter.bounds()[1:] if entry.name not in decisive else ():
                        varied = values | {entry.name: parameter.value(bound)}
                        self._make(base, varied, decisive, entry.name)

    def choices(self, name: str) -> tuple[Any, ...]:
        """Values of a parameter; empty if it is a range or unknown."""
        return self._entries.choices(name)

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Optuna's parameters of every point of the space."""
        for entry in self._entries:
            if entry.resolve(base.epochs).count() is None:
                raise ConfigError(
                    f"{entry.place}: {entry} must have a step or a grid, so that every point can "
                    f"be tried, but is {entry.parameter}."
                )
        count = self.count(base) or 0
        if count > MOST_POINTS:
            raise ConfigError(
                f"A space must have at most {MOST_POINTS:,} points, so that every one can be "
                f"tried, but has {count:,}."
            )
        points = self._entries.combinations(lambda _, it: it.suggestions(), base.epochs)
        return [params for _, params in points]

    def count(self, base: TrainConfig) -> int | None:
        """Number of points; None if it is infinite."""
        parents = set(self._entries.parents.values())

        def branches(entry: Entry, parameter: Parameter) -> list[Any]:
            return parameter.bounds() if entry.name in parents else parameter.bounds()[:1]

        total = 0
        for values, _ in self._entries.combinations(branches, base.epochs):
            product = 1
            for entry in self._entries.active(values):
                count = entry.resolve(base.epochs).count() if entry.name not in parents else 1
                if count is None:
                    return None
                product *= count
            total += product
        return total

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """Convert values to Optuna's parameters; names may be left out."""
        for name in values:
            if name not in self._entries.names:
                names = self._entries.names
                raise ConfigError(unknown("name in the space", name, names, also=NICKNAMES))
        known: dict[str, Any] = {}
        params = {}
        missing: set[str] = set()  # without their values, conditions on them are undecided
        for name in self._entries.names:
            parent = self._entries.parents.get(name)
            undecided = parent in missing and self._entries.is_conditional(name)
            entry = self._entries.active_entry(name, known)
            if name not in values:
                epochs = base.epochs
                fixed = entry is not None and not undecided and entry.resolve(epochs).count() == 1
                if not fixed:
                    missing.add(name)
                    continue
            if undecided:
                raise ConfigError(f"{name} must come with {parent}, on which it depends.")
            if entry is None:
                raise ConfigError(self._inactive(name, known))
            parameter = entry.resolve(base.epochs)
            suggestion = parameter.match(str(entry), values.get(name, parameter.bounds()[0]))
            known[name] = parameter.value(suggestion)
            if entry in self._entries.keys and name in values:
                params[self._entries.keys[entry]] = suggestion
        return params

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Optuna's distributions, by parameter."""
        items = [(key, entry.resolve(base.epochs)) for entry, key in self._entries.keys.items()]
        found = {key: parameter.distribution() for key, parameter in items}
        return {key: item for key, item in found.items() if item is not None}

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """Rows of a table: name, number of values and values of each entry, and the total."""
        rows = []
        for name in self._entries.names:
            for entry in self._entries.of(name):
                parameter = entry.resolve(base.epochs)
                rows.append((str(entry), _count(parameter.count()), str(entry.parameter)))
        return [*rows, ("together", _count(self.count(base)), "different trials")]

    def _make(
        self, base: TrainConfig, values: dict[str, Any], decisive: set[str], blame: str = ""
    ) -> None:
        """Make a config; if it is invalid, name the responsible entry and its place in the file."""
        try:
            _make_config(base, values)
        except CodeFailed:  # the trials that run it fail, and no others
            pass
        except ConfigError as error:
            culprits = (name for name in reversed(values) if _is_valid_without(base, values, name))
            name = blame or next(culprits, next(iter(values)))
            entry = self._entries.active_entry(name, values)
            assert entry is not None, "it has a value"
            context = ", ".join(
                f"{other} = {shown(it)}"
                for other, it in values.items()
                if other in decisive and other != name and shown(it) not in str(error)
            )
            words = f"{name} = {shown(values[name])}" + (f" with {context}" if context else "")
            raise ConfigError(
                f"{entry.place}: {words} is invalid: {error}{self._hint(entry)}"
            ) from error

    def _hint(self, entry: Entry) -> str:
        """Suggestion for an argument that was perhaps meant for some values of its owner only."""
        if entry.name in FIELDS or entry.where is not None or near_field(entry.name):
            return ""
        owner = entry.name.rpartition(".")[0] or "optimizer"
        several = len(self.choices(owner)) > 1
        return f" Put arguments of only some of them under [when.{owner}.NAME]." if several else ""

    def _inactive(self, name: str, known: dict[str, Any]) -> str:
        """Message for a value of a parameter whose condition is not met."""
        parent = self._entries.parents[name]
        needed = [entry.where[1] for entry in self._entries.of(name) if entry.where]
        got = f"it is {shown(known[parent])}" if parent in known else "that is absent too"
        return f"{name} exists only where {parent} is {' or '.join(needed)}, but {got}."


def _make_config(base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    from trainer.training.check import check_train  # imports torch, which reading takes none of

    config = base.override(values)
    check_train(config)
    return config


def _is_valid_without(base: TrainConfig, values: dict[str, Any], name: str) -> bool:
    try:
        _make_config(base, {other: it for other, it in values.items() if other != name})
    except ConfigError:
        return False
    return True


def _count(count: int | None) -> str:
    return "any" if count is None else f"{count:,}"
