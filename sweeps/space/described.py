"""Search spaces in the JSON form that studies store: read, change, and write them as TOML."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.space.ranges import GRID, parse_range
from sweeps.space.values import shown
from trainer.errors import ConfigError

Described = Mapping[str, Any]
"""Result of `Space.describe` for a space in a file: parameters by name, conditional ones under
"when"."""


@dataclass(frozen=True)
class Change:
    """A new description of a parameter.

    Attributes:
        name: name of the parameter.
        value: its description, as in `Space.describe`: a list, a mapping, or one fixed value.
        where: (parent, value) condition; None: unconditional.
    """

    name: str
    value: Any
    where: tuple[str, str] | None = None


def is_function(space: Described) -> bool:
    """Whether the space is a Python function; then only a digest of its code is stored."""
    return space.keys() == {"function", "code"}


def choices_of(space: Described, name: str) -> list[Any]:
    """Values of a parameter in all tables; empty if it is a range or unknown."""
    found: list[Any] = []
    for table in tables_of(space):
        entry = table.get(name, [])
        if isinstance(entry, Mapping):
            return []
        found += entry if isinstance(entry, list) else [entry]
    return found


def parent_of(space: Described, name: str) -> str | None:
    """Name of the parameter that another depends on; None if it has no conditional entry."""
    for parent, cases in space.get("when", {}).items():
        if any(name in table for table in cases.values()):
            return str(parent)
    return None


def entry_of(
    space: Described, name: str, values: Mapping[str, Any]
) -> tuple[tuple[str, str] | None, Any]:
    """Condition and description of a parameter in trials with these values.

    Returns:
        The condition as in `Change.where`, and the description, None if there is none.
    """
    parent = parent_of(space, name)
    if parent is not None and parent in values:
        value = shown(values[parent])
        table = space["when"][parent].get(value, {})
        if name in table:
            return (parent, value), table[name]
    return None, space.get(name)


def changed(space: Described, changes: Iterable[Change]) -> dict[str, Any]:
    """Apply changes to a space, and remove tables whose condition can no longer be met."""
    result = _put(space, changes)
    while dead := list(_dead(result)):  # a removed table may contain the parent of another
        for parent, value in dead:
            del result["when"][parent][value]
    when = {parent: cases for parent, cases in result.pop("when", {}).items() if cases}
    return result | ({"when": when} if when else {})


def tables_of(space: Described) -> Iterator[Described]:
    """The table of unconditional parameters, and each conditional one."""
    yield {name: entry for name, entry in space.items() if name != "when"}
    for cases in space.get("when", {}).values():
        yield from cases.values()


def mapped(space: Described, change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The space with each entry replaced by `change` of its name and the entry."""
    return _each(space, lambda table: {name: change(name, it) for name, it in table.items()})


def without(space: Described, names: Collection[str]) -> dict[str, Any]:
    """The space without the unconditional and conditional entries of these names."""
    return _each(space, lambda table: {it: table[it] for it in table if it not in names})


def lines_of(changes: Iterable[Change]) -> list[str]:
    """Lines of TOML for these changes, with the table headers of conditional ones."""
    return [line for line in to_toml(_put({}, changes)).splitlines() if line]


def to_toml(space: Described) -> str:
    """Write the space as TOML, as `parse_space` reads it."""
    parts = [_text(space)]
    for parent, cases in space.get("when", {}).items():
        for value, table in cases.items():
            parts.append(f"[when.{_key(parent)}.{_key(value)}]\n{_text(table)}")
    return "\n".join(part for part in parts if part)


def literal(value: Any) -> str:
    """TOML of a fixed value or a list."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)  # floats with all digits, like Python's repr


def _put(space: Described, changes: Iterable[Change]) -> dict[str, Any]:
    result: dict[str, Any] = copy.deepcopy({**space})
    for change in changes:
        table = result
        for word in ("when", *change.where) if change.where else ():
            table = table.setdefault(word, {})
        table[change.name] = change.value
    return result


def _each(space: Described, change: Callable[[Described], dict[str, Any]]) -> dict[str, Any]:
    """The space with each of its tables replaced."""
    plain, *_ = tables_of(space)
    when = {
        parent: {value: change(table) for value, table in cases.items()}
        for parent, cases in space.get("when", {}).items()
    }
    return change(plain) | ({"when": when} if when else {})


def _dead(space: Described) -> Iterator[tuple[str, str]]:
    """Conditions that can no longer be met."""
    for parent, cases in space.get("when", {}).items():
        possible = {*map(shown, choices_of(space, parent))}
        yield from ((parent, value) for value in cases if value not in possible)


def _text(table: Described) -> str:
    entries = ((name, it) for name, it in table.items() if name != "when")
    return "".join(f"{_key(name)} = {_value(it)}\n" for name, it in entries)


def _value(entry: Any) -> str:
    """TOML of a parameter's description."""
    if not isinstance(entry, Mapping):
        return literal(entry)
    if "grid" in entry:
        numbers = entry["grid"]
        entry = {"low": numbers[0], "high": numbers[-1], "grid": GRID}
        if not _describes(entry, numbers):  # TOML files have 1-2-5 grids only
            return literal(numbers)
    return f"{{ {', '.join(f'{name} = {literal(it)}' for name, it in entry.items())} }}"


def _describes(entry: Mapping[str, Any], numbers: list[Any]) -> bool:
    try:
        return bool(parse_range(entry).describe() == {"grid": numbers})
    except ConfigError:
        return False


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)
