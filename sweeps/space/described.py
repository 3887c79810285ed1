"""A described search space, as studies keep it: looked into, changed, and written as TOML."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.space.ranges import GRID, parse_range
from sweeps.space.values import shown
from trainer.errors import ConfigError

Described = Mapping[str, Any]
"""What `Space.describe` gives for a space in a file: parameters by name, conditional ones under
"when"."""


@dataclass(frozen=True)
class Change:
    """What a name of a space becomes.

    Attributes:
        name: as people see it.
        value: what it may be, as `Space.describe` has it: a list, a mapping, or one fixed value.
        where: the name that it depends on, and the value of that as text; None: unconditional.
    """

    name: str
    value: Any
    where: tuple[str, str] | None = None


def is_function(space: Described) -> bool:
    """Whether the space is a Python function, of which only a digest is known."""
    return space.keys() == {"function", "code"}


def choices_of(space: Described, name: str) -> list[Any]:
    """The values that a name can have in any table; none where it has a range or is not known."""
    found: list[Any] = []
    for table in _tables(space):
        entry = table.get(name, [])
        if isinstance(entry, Mapping):
            return []
        found += entry if isinstance(entry, list) else [entry]
    return found


def governor_of(space: Described, name: str) -> str | None:
    """The name that a name depends on; None: it has no conditional entry."""
    for governor, cases in space.get("when", {}).items():
        if any(name in table for table in cases.values()):
            return str(governor)
    return None


def entry_of(
    space: Described, name: str, values: Mapping[str, Any]
) -> tuple[tuple[str, str] | None, Any]:
    """The condition and the description of a name in trials with these values.

    Returns:
        The condition as in `Change.where`; the description is None where the space has none.
    """
    governor = governor_of(space, name)
    if governor is not None and governor in values:
        value = shown(values[governor])
        table = space["when"][governor].get(value, {})
        if name in table:
            return (governor, value), table[name]
    return None, space.get(name)


def changed(space: Described, changes: Iterable[Change]) -> dict[str, Any]:
    """The space with these changes, without the tables whose condition can no longer hold."""
    result = _put(space, changes)
    while dead := list(_dead(result)):  # a table that goes may have held what another depends on
        for governor, value in dead:
            del result["when"][governor][value]
    when = {governor: cases for governor, cases in result.pop("when", {}).items() if cases}
    return result | ({"when": when} if when else {})


def lines_of(changes: Iterable[Change]) -> list[str]:
    """The lines of a file that these changes are, each table's head on a line of its own."""
    return [line for line in to_toml(_put({}, changes)).splitlines() if line]


def to_toml(space: Described) -> str:
    """The text of a file that `parse_space` reads as this space."""
    parts = [_text(space)]
    for governor, cases in space.get("when", {}).items():
        for value, table in cases.items():
            parts.append(f"[when.{_key(governor)}.{_key(value)}]\n{_text(table)}")
    return "\n".join(part for part in parts if part)


def _put(space: Described, changes: Iterable[Change]) -> dict[str, Any]:
    result: dict[str, Any] = copy.deepcopy({**space})
    for change in changes:
        table = result
        for word in ("when", *change.where) if change.where else ():
            table = table.setdefault(word, {})
        table[change.name] = change.value
    return result


def _tables(space: Described) -> Iterator[Described]:
    yield {name: entry for name, entry in space.items() if name != "when"}
    for cases in space.get("when", {}).values():
        yield from cases.values()


def _dead(space: Described) -> Iterator[tuple[str, str]]:
    for governor, cases in space.get("when", {}).items():
        possible = {*map(shown, choices_of(space, governor))}
        yield from ((governor, value) for value in cases if value not in possible)


def _text(table: Described) -> str:
    entries = ((name, it) for name, it in table.items() if name != "when")
    return "".join(f"{_key(name)} = {_value(it)}\n" for name, it in entries)


def _value(entry: Any) -> str:
    """What stands to the right of a name."""
    if not isinstance(entry, Mapping):
        return _literal(entry)
    if "grid" in entry:
        numbers = entry["grid"]
        entry = {"low": numbers[0], "high": numbers[-1], "grid": GRID}
        if not _describes(entry, numbers):  # no grid that the file format knows
            return _literal(numbers)
    return f"{{ {', '.join(f'{name} = {_literal(it)}' for name, it in entry.items())} }}"


def _describes(entry: Mapping[str, Any], numbers: list[Any]) -> bool:
    try:
        return bool(parse_range(entry).describe() == {"grid": numbers})
    except ConfigError:
        return False


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)  # numbers to their last digit, as Python's repr


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _literal(name)
