"""The entries of a search space: names, what they may be, and which depend on which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sweeps.space.parameter import Choice, Fixed, Grid, Parameter
from sweeps.space.values import shown
from trainer.errors import ConfigError, unknown


@dataclass(frozen=True, eq=False)
class Entry:
    """What a name may be, everywhere or where another name has some value.

    Attributes:
        name: as people see it.
        parameter: what it may be.
        where: the other name, and its value as a text; None: wherever no such entry holds.
        place: where it was written, for messages.
    """

    name: str
    parameter: Parameter
    where: tuple[str, str] | None = None
    place: str = ""

    def __str__(self) -> str:
        return f"{self.name} where {' is '.join(self.where)}" if self.where else self.name

    def at(self, epochs: int) -> Parameter:
        """What it may be in a sweep of so many epochs.

        Raises:
            ConfigError: nothing.
        """
        try:
            return self.parameter.at(epochs)
        except ConfigError as error:
            raise ConfigError(f"{self.place}: {self}: {error}") from error

    @property
    def values(self) -> tuple[Any, ...] | None:
        """What it may be, if that is one of some values without an order."""
        item = self.parameter
        return item.values if isinstance(item, Choice) and not isinstance(item, Grid) else None


class Entries:
    """All entries of a space. A name depends on one other at most.

    Attributes:
        names: in an order in which each comes after the one that it depends on.
        governors: the name that a name depends on.
        keys: what Optuna calls each entry, if it draws anything for it.

    Raises:
        ConfigError: a name depends on two others, on itself in a circle, on one that has no choices
            or on a value that is none of them.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[str, list[Entry]] = {}
        self.governors: dict[str, str] = {}
        for entry in entries:
            self._by_name.setdefault(entry.name, []).append(entry)
        for entry in self:
            if entry.where is not None:
                self._check_where(entry, *entry.where)
                self.governors[entry.name] = entry.where[0]
        self.names = self._ordered()
        self.keys: dict[Entry, str] = {}
        for name in self.names:
            self._name(self._by_name[name])

    def __iter__(self) -> Iterator[Entry]:
        return (entry for items in self._by_name.values() for entry in items)

    def of(self, name: str) -> list[Entry]:
        """Those of a name."""
        return self._by_name.get(name, [])

    def choices(self, name: str) -> tuple[Any, ...]:
        """The values that a name can have; none where it has a range or is not known."""
        found: list[Any] = []
        for entry in self.of(name):
            if entry.values is None:
                return ()
            found += [value for value in entry.values if value not in found]
        return tuple(found)

    def holding(self, name: str, values: dict[str, Any]) -> Entry | None:
        """The entry of a name where those before it have these values; None: it does not exist."""
        governor = self.governors.get(name)
        where = (governor, shown(values[governor])) if governor in values else None
        by_where = {entry.where: entry for entry in self._by_name[name]}
        return by_where.get(where, by_where.get(None))

    def walk(self, values: dict[str, Any]) -> Iterator[Entry]:
        """Each entry that holds, while the caller puts the value of each into `values`."""
        for name in self.names:
            entry = self.holding(name, values)
            if entry is not None:
                yield entry

    def each(
        self,
        seen: Callable[[Entry, Parameter], Iterable[Any]],
        epochs: int,
        values: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        depth: int = 0,
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Every combination of what `seen` gives for entries: values by name, Optuna's by key."""
        values, params = values or {}, params or {}
        if depth == len(self.names):
            yield values, params
            return
        entry = self.holding(self.names[depth], values)
        if entry is None:
            yield from self.each(seen, epochs, values, params, depth + 1)
            return
        parameter = entry.at(epochs)
        for item in seen(entry, parameter):
            more = {self.keys[entry]: item} if entry in self.keys else {}
            now = values | {entry.name: parameter.value(item)}
            yield from self.each(seen, epochs, now, params | more, depth + 1)

    def branches(self, name: str) -> set[Entry | None]:
        """The entries of a name that can hold; with None where it does not exist in some trials."""
        entries = self._by_name[name]
        governor = self.governors.get(name)
        if governor is None:
            return set(entries)
        met = {entry.where[1] for entry in entries if entry.where is not None}
        else_too = None in self.branches(governor) or met < set(map(shown, self.choices(governor)))
        plain = next((entry for entry in entries if entry.where is None), None)
        return {entry for entry in entries if entry.where} | ({plain} if else_too else set())

    def varies(self, name: str) -> bool:
        """Whether Optuna draws something else for it in some trials than in others, or nothing."""
        return len({entry and self.keys.get(entry) for entry in self.branches(name)}) > 1

    def _check_where(self, entry: Entry, governor: str, value: str) -> None:
        table = f"{entry.place}: [when.{governor}.{value}]"
        if governor not in self._by_name:
            raise ConfigError(f"{table}: {unknown('name', governor, self._by_name)}")
        choices = self.choices(governor)
        if not choices:
            raise ConfigError(f"{table} needs choices for {governor}, but it has a range.")
        if value not in map(shown, choices):
            raise ConfigError(f"{table}: {unknown(governor, value, map(shown, choices))}")
        known = self.governors.get(entry.name, governor)
        if known != governor:
            raise ConfigError(
                f"{table}: {entry.name} must depend on one other name, but does on {known} too; "
                "a space that is a Python function can do more."
            )

    def _ordered(self) -> list[str]:
        names: list[str] = []
        left = list(self._by_name)
        while left:
            free = [name for name in left if self.governors.get(name) not in left]
            if not free:
                place = self._by_name[left[0]][0].place
                raise ConfigError(
                    f"{place}: names must not depend on each other in a circle, but got "
                    f"{', '.join(left)}."
                )
            names.append(free[0])
            left.remove(free[0])
        return names

    def _name(self, entries: list[Entry]) -> None:
        """Equal entries of a name have one key, others one each: Optuna knows one range for one."""
        drawn = [entry for entry in entries if not isinstance(entry.parameter, Fixed)]
        alike = all(entry.parameter == drawn[0].parameter for entry in drawn)
        for entry in drawn:
            key = entry.parameter.key(entry.name)
            if entry.where is not None and not alike:
                governor, value = entry.where
                is_text = any(value == item for item in self.choices(governor))
                prefix = value.rpartition(":")[2] if is_text else f"{governor}={value}"
                if f"{prefix}.{key}" in self.keys.values():
                    prefix = f"{governor}={value}"
                key = f"{prefix}.{key}"
            self.keys[entry] = key
