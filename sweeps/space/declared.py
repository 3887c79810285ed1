"""A space of named parameters, of which some hold only for some value of another."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeps.space.entries import Entries, Entry
from sweeps.space.parameter import Parameter
from sweeps.space.space import FIELDS
from sweeps.space.values import shown
from trainer.errors import ConfigError, unknown
from trainer.settings.config import NICKNAMES, TrainConfig

if TYPE_CHECKING:  # so that reading a space takes no Optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

MOST_POINTS = 100_000
"""Of a space that is tried point by point; more are an oversight."""

_DECISIVE = ("optimizer", "scheduler", "model")


class DeclaredSpace:
    """A `Space` of entries.

    Args:
        entries: all of them, in the order in which they were written.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.searched = tuple(entries.names)
        self.always = tuple(it for it in entries.names if None not in entries.branches(it))
        self.conditional = any(map(entries.varies, entries.names))

    def without(self, *names: str) -> DeclaredSpace:
        """The space in which these names are not searched."""
        return DeclaredSpace(Entries([it for it in self._entries if it.name not in names]))

    def suggest(self, trial: BaseTrial, base: TrainConfig) -> TrainConfig:
        """The config that `trial` stands for."""
        values: dict[str, Any] = {}
        hidden = []
        for entry in self._entries.walk(values):
            parameter = entry.at(base.epochs)
            values[entry.name] = parameter.draw(trial, self._entries.keys.get(entry, ""))
            hidden += [entry.name] if parameter.hidden else []
        for name in hidden:
            trial.set_user_attr(name, values[name])
        return _checked(base, values)

    def describe(self, base: TrainConfig) -> dict[str, Any]:
        """Parameters by name; under "when" those that hold only for some value of another."""
        described: dict[str, Any] = {}
        for name in self._entries.names:
            for entry in self._entries.of(name):
                table = described
                for word in ("when", *entry.where) if entry.where else ():
                    table = table.setdefault(word, {})
                table[name] = entry.at(base.epochs).describe()
        return described

    def check(self, base: TrainConfig) -> None:
        """Make a config for each combination of what others depend on, with each end of the rest.

        Of the rest only one is varied at a time: combinations of all would be too many.
        """
        decisive = {*_DECISIVE, *self._entries.governors.values()}

        def ends(entry: Entry, parameter: Parameter) -> list[Any]:
            return parameter.ends() if entry.name in decisive else parameter.ends()[:1]

        for values, _ in self._entries.each(ends, base.epochs):
            self._make(base, values, decisive)
            for entry in self._entries.walk(values):
                parameter = entry.at(base.epochs)
                for end in parameter.ends()[1:] if entry.name not in decisive else ():
                    varied = values | {entry.name: parameter.value(end)}
                    self._make(base, varied, decisive, entry.name)

    def choices(self, name: str) -> tuple[Any, ...]:
        """The values that a name can have; none where it has a range or is not known."""
        return self._entries.choices(name)

    def points(self, base: TrainConfig) -> list[dict[str, Any]]:
        """Optuna's parameters of every trial there can be, each once."""
        for entry in self._entries:
            if entry.at(base.epochs).count() is None:
                raise ConfigError(
                    f"{entry.place}: {entry} must have a step or a grid where every point is to be "
                    f"tried, but is {entry.parameter}."
                )
        count = self.count(base) or 0
        if count > MOST_POINTS:
            raise ConfigError(
                f"A space must have at most {MOST_POINTS:,} points where every one is to be tried, "
                f"but has {count:,}."
            )
        return [params for _, params in self._entries.each(lambda _, it: it.seen(), base.epochs)]

    def count(self, base: TrainConfig) -> int | None:
        """How many different trials there can be; None: no end of them."""
        governors = set(self._entries.governors.values())

        def branching(entry: Entry, parameter: Parameter) -> list[Any]:
            return parameter.ends() if entry.name in governors else parameter.ends()[:1]

        total = 0
        for values, _ in self._entries.each(branching, base.epochs):
            alike = 1
            for entry in self._entries.walk(values):
                count = entry.at(base.epochs).count() if entry.name not in governors else 1
                if count is None:
                    return None
                alike *= count
            total += alike
        return total

    def params(self, values: Mapping[str, Any], base: TrainConfig) -> dict[str, Any]:
        """Optuna's parameters for values as people write them; not all names need be given."""
        for name in values:
            if name not in self._entries.names:
                names = self._entries.names
                raise ConfigError(unknown("name in the space", name, names, also=NICKNAMES))
        known: dict[str, Any] = {}
        params = {}
        left: set[str] = set()  # not given: what depends on them cannot be told
        for name in self._entries.names:
            governor = self._entries.governors.get(name)
            undecided = governor in left and self._entries.varies(name)
            entry = self._entries.holding(name, known)
            if name not in values:
                fixed = entry is not None and not undecided and entry.at(base.epochs).count() == 1
                if not fixed:
                    left.add(name)
                    continue
            if undecided:
                raise ConfigError(f"{name} must come with {governor}, on which it depends.")
            if entry is None:
                raise ConfigError(self._out_of_place(name, known))
            parameter = entry.at(base.epochs)
            seen = parameter.match(str(entry), values.get(name, parameter.ends()[0]))
            known[name] = parameter.value(seen)
            if entry in self._entries.keys and name in values:
                params[self._entries.keys[entry]] = seen
        return params

    def distributions(self, base: TrainConfig) -> dict[str, BaseDistribution]:
        """Each parameter of Optuna's that it can suggest."""
        items = [(key, entry.at(base.epochs)) for entry, key in self._entries.keys.items()]
        drawn = {key: parameter.distribution() for key, parameter in items}
        return {key: item for key, item in drawn.items() if item is not None}

    def rows(self, base: TrainConfig) -> list[tuple[str, str, str]]:
        """Each entry, how many values it has and which; then how many trials there can be."""
        rows = []
        for name in self._entries.names:
            for entry in self._entries.of(name):
                parameter = entry.at(base.epochs)
                rows.append((str(entry), _count(parameter.count()), str(entry.parameter)))
        return [*rows, ("together", _count(self.count(base)), "different trials")]

    def _make(
        self, base: TrainConfig, values: dict[str, Any], decisive: set[str], blame: str = ""
    ) -> None:
        """Make the config; where it cannot be, say which name is to blame, and where it stands."""
        try:
            _checked(base, values)
        except ConfigError as error:
            culprits = (name for name in reversed(values) if _can_be_without(base, values, name))
            name = blame or next(culprits, next(iter(values)))
            entry = self._entries.holding(name, values)
            assert entry is not None, "it has a value"
            beside = ", ".join(
                f"{other} = {shown(it)}"
                for other, it in values.items()
                if other in decisive and other != name and shown(it) not in str(error)
            )
            words = f"{name} = {shown(values[name])}" + (f" with {beside}" if beside else "")
            raise ConfigError(
                f"{entry.place}: {words} cannot be: {error}{self._hint(entry)}"
            ) from error

    def _hint(self, entry: Entry) -> str:
        """Of what was perhaps meant, where the name is an argument of something."""
        if entry.name in FIELDS or entry.where is not None:
            return ""
        owner, dot, _ = entry.name.rpartition(".")
        near = [] if dot else difflib.get_close_matches(entry.name, FIELDS, n=1, cutoff=0.7)
        if near:
            return f" Or is it the field {near[0]}?"
        owner = owner or "optimizer"
        several = len(self.choices(owner)) > 1
        return f" What only some take stands under [when.{owner}.NAME]." if several else ""

    def _out_of_place(self, name: str, known: dict[str, Any]) -> str:
        governor = self._entries.governors[name]
        places = [entry.where[1] for entry in self._entries.of(name) if entry.where]
        got = shown(known[governor]) if governor in known else "not there"
        return f"{name} exists only where {governor} is {' or '.join(places)}, but it is {got}."


def _checked(base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    from trainer.training.check import check_train  # imports torch, which reading takes none of

    config = base.having(values)
    check_train(config)
    return config


def _can_be_without(base: TrainConfig, values: dict[str, Any], name: str) -> bool:
    try:
        _checked(base, {other: it for other, it in values.items() if other != name})
    except ConfigError:
        return False
    return True


def _count(count: int | None) -> str:
    return "any" if count is None else f"{count:,}"
