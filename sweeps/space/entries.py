"""Entries of a search space: parameters with their names and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sweeps.space.parameter import Choice, Fixed, Grid, Parameter
from sweeps.space.values import shown
from trainer.errors import ConfigError, unknown


@dataclass(frozen=True, eq=False)
class Entry:
    """A named parameter, unconditional or for one value of its parent.

    Attributes:
        name: name of the parameter, shared by entries with other conditions.
        parameter: the possible values.
        where: (parent, value) condition with the value as text; None: unconditional, for trials
            in which no conditional entry of the name is active.
        place: file and line, for messages.
    """

    name: str
    parameter: Parameter
    where: tuple[str, str] | None = None
    place: str = ""

    def __str__(self) -> str:
        return f"{self.name} where {' is '.join(self.where)}" if self.where else self.name

    def resolve(self, epochs: int) -> Parameter:
        """The parameter in a sweep of `epochs` epochs.

        Raises:
            ConfigError: it has no valid value then.
        """
        try:
            return self.parameter.resolve(epochs)
        except ConfigError as error:
            raise ConfigError(f"{self.place}: {self}: {error}") from error

    @property
    def values(self) -> tuple[Any, ...] | None:
        """Values of an unordered choice; None for other parameters."""
        item = self.parameter
        return item.values if isinstance(item, Choice) and not isinstance(item, Grid) else None


class Entries:
    """All entries of a space; each name depends on one parent at most.

    Attributes:
        names: all names, parents first.
        parents: parent of each conditional name.
        keys: Optuna's parameter name of each entry, without fixed ones.

    Raises:
        ConfigError: a name has two parents, names depend on each other in a circle, or a parent
            has no choices or not the value of the condition.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[str, list[Entry]] = {}
        self.parents: dict[str, str] = {}
        for entry in entries:
            self._by_name.setdefault(entry.name, []).append(entry)
        for entry in self:
            if entry.where is not None:
                self._check_where(entry, *entry.where)
                self.parents[entry.name] = entry.where[0]
        self.names = self._parents_first()
        self.keys: dict[Entry, str] = {}
        for name in self.names:
            self._assign_keys(self._by_name[name])

    def __iter__(self) -> Iterator[Entry]:
        return (entry for items in self._by_name.values() for entry in items)

    def of(self, name: str) -> list[Entry]:
        """Entries of a name."""
        return self._by_name.get(name, [])

    def choices(self, name: str) -> tuple[Any, ...]:
        """Values of a name over all entries; empty if one is a range, or the name is unknown."""
        found: list[Any] = []
        for entry in self.of(name):
            if entry.values is None:
                return ()
            found += [value for value in entry.values if value not in found]
        return tuple(found)

    def active_entry(self, name: str, values: dict[str, Any]) -> Entry | None:
        """Entry of a name in trials with these values; None: the name does not exist in them."""
        parent = self.parents.get(name)
        where = (parent, shown(values[parent])) if parent in values else None
        by_where = {entry.where: entry for entry in self._by_name[name]}
        return by_where.get(where, by_where.get(None))

    def active(self, values: dict[str, Any]) -> Iterator[Entry]:
        """Iterate over active entries; the caller may add each entry's value to `values`."""
        for name in self.names:
            entry = self.active_entry(name, values)
            if entry is not None:
                yield entry

    def combinations(
        self,
        select: Callable[[Entry, Parameter], Iterable[Any]],
        epochs: int,
        values: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        depth: int = 0,
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Combine the suggestions that `select` returns for each entry.

        Yields:
            Values by name, and Optuna's parameters, of each combination.
        """
        values, params = values or {}, params or {}
        if depth == len(self.names):
            yield values, params
            return
        entry = self.active_entry(self.names[depth], values)
        if entry is None:
            yield from self.combinations(select, epochs, values, params, depth + 1)
            return
        parameter = entry.resolve(epochs)
        for item in select(entry, parameter):
            more = {self.keys[entry]: item} if entry in self.keys else {}
            now = values | {entry.name: parameter.value(item)}
            yield from self.combinations(select, epochs, now, params | more, depth + 1)

    def branches(self, name: str) -> set[Entry | None]:
        """Entries of a name that can be active; with None if the name is absent in some trials."""
        entries = self._by_name[name]
        parent = self.parents.get(name)
        if parent is None:
            return set(entries)
        met = {entry.where[1] for entry in entries if entry.where is not None}
        else_too = None in self.branches(parent) or met < set(map(shown, self.choices(parent)))
        plain = next((entry for entry in entries if entry.where is None), None)
        return {entry for entry in entries if entry.where} | ({plain} if else_too else set())

    def is_conditional(self, name: str) -> bool:
        """Whether Optuna's parameter for a name differs between trials, or is absent in some."""
        return len({entry and self.keys.get(entry) for entry in self.branches(name)}) > 1

    def _check_where(self, entry: Entry, parent: str, value: str) -> None:
        table = f"{entry.place}: [when.{parent}.{value}]"
        if parent not in self._by_name:
            raise ConfigError(f"{table}: {unknown('name', parent, self._by_name)}")
        choices = self.choices(parent)
        if not choices:
            raise ConfigError(f"{table} needs choices for {parent}, but it has a range.")
        if value not in map(shown, choices):
            raise ConfigError(f"{table}: {unknown(parent, value, map(shown, choices))}")
        known = self.parents.get(entry.name, parent)
        if known != parent:
            raise ConfigError(
                f"{table}: {entry.name} must depend on one other name only, but also depends on "
                f"{known}; use a Python function as the space."
            )

    def _parents_first(self) -> list[str]:
        names: list[str] = []
        left = list(self._by_name)
        while left:
            free = [name for name in left if self.parents.get(name) not in left]
            if not free:
                place = self._by_name[left[0]][0].place
                raise ConfigError(
                    f"{place}: names must not depend on each other in a circle, but got "
                    f"{', '.join(left)}."
                )
            names.append(free[0])
            left.remove(free[0])
        return names

    def _assign_keys(self, entries: list[Entry]) -> None:
        """Give equal entries of a name one key, and different ones a key each.

        Optuna allows only one distribution per parameter name.
        """
        suggested = [entry for entry in entries if not isinstance(entry.parameter, Fixed)]
        alike = all(entry.parameter == suggested[0].parameter for entry in suggested)
        for entry in suggested:
            key = entry.parameter.key(entry.name)
            if entry.where is not None and not alike:
                parent, value = entry.where
                is_text = any(value == item for item in self.choices(parent))
                prefix = value.rpartition(":")[2] if is_text else f"{parent}={value}"
                if f"{prefix}.{key}" in self.keys.values():
                    prefix = f"{parent}={value}"
                key = f"{prefix}.{key}"
            self.keys[entry] = key
