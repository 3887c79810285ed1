"""Reading a search space from TOML, or from a dict; `default.toml` tells what can be written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from sweeps.space.declared import DeclaredSpace
from sweeps.space.entries import Entries, Entry
from sweeps.space.parameter import Choice, Fixed, Parameter
from sweeps.space.ranges import parse_range
from sweeps.space.space import check_name
from sweeps.space.values import is_number, same, shown
from trainer.errors import ConfigError

_DEFAULT = "default.toml"
_OWNERS = ("scheduler", "model")  # whose arguments are written "scheduler.NAME"


def default_text() -> str:
    """The file of the default space."""
    return (resources.files("sweeps.space") / _DEFAULT).read_text(encoding="utf-8")


def default_space(scheduler: str = "StepLR") -> DeclaredSpace:
    """What is searched where nothing else is asked for; for StepLR its arguments, too."""
    space = parse_space(default_text(), _DEFAULT)
    return space if scheduler == "StepLR" else space.without("step_size", "gamma")


def read_space(path: str) -> DeclaredSpace:
    """The space in a file.

    Raises:
        ConfigError: it cannot be read, or what it says cannot be.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} must be a file that can be read, but: {reason}.") from error
    return parse_space(text, path)


def parse_space(text: str, file: str) -> DeclaredSpace:
    """The space that a text says; `file` is its name in messages, which have the line too.

    Raises:
        ConfigError: it is no TOML, or says what cannot be.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, line = str(error), len(text.splitlines())
        if found := re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", reason):
            reason, line = f"{found[1]}, in column {found[3]}", int(found[2])
        raise ConfigError(
            f"{file}:{line}: {reason.removesuffix(' (at end of document)')}."
        ) from error
    return space_of(document, file, lambda keys: f"{file}:{line_of(text, keys)}")


def space_of(
    document: Mapping[str, Any], file: str, place_of: Callable[[tuple[str, ...]], str]
) -> DeclaredSpace:
    """The space in a dict, as TOML is parsed to.

    Args:
        document: the dict.
        file: its name in messages.
        place_of: where what lies under such keys was written, for messages.

    Raises:
        ConfigError: it says what cannot be.
    """
    entries = []
    for keys, raw in _items(document, file):
        place = place_of(keys)
        name, where = keys[-1], (keys[1], keys[2]) if len(keys) > 1 else None
        try:
            check_name(name)
            entries.append(Entry(name, _parameter(raw), where, place))
        except ConfigError as error:
            head = "" if str(error).startswith(name) else f"{name}: "
            raise ConfigError(f"{place}: {head}{error}") from error
    if all(isinstance(entry.parameter, Fixed) for entry in entries):
        raise ConfigError(f"{file} must give at least one name that varies, but gives none.")
    return DeclaredSpace(Entries(entries))


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """The line, from 1, on which what lies under these keys of a TOML text begins."""
    lines = text.splitlines()
    begin = 1
    for number in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        if _holds(document, keys):
            return begin
        begin = number + 1
    return begin


def _items(document: Mapping[str, Any], file: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys and what lies under them: (name,), or ("when", other name, its value, name)."""
    plain = {name: raw for name, raw in document.items() if name != "when"}
    tables: dict[tuple[str, ...], Any] = {(): plain}
    when = document.get("when", {})
    if not isinstance(when, dict) or not all(isinstance(it, dict) for it in when.values()):
        raise ConfigError(f"{file}: when must be in tables, as in [when.optimizer.SGD].")
    for name, values in when.items():
        for value, table in values.items():
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{file}: [when.{name}] must have a table for each value of {name}, as in "
                    f"[when.{name}.VALUE], but has {value} = {shown(table)}."
                )
            tables["when", name, value] = table
    for keys, table in tables.items():
        for name, raw in table.items():
            if name in _OWNERS and isinstance(raw, dict):  # scheduler.T_0 without quotes
                for part, value in raw.items():
                    yield (*keys, f"{name}.{part}"), value
            else:
                yield (*keys, name), raw


def _parameter(raw: Any) -> Parameter:
    if isinstance(raw, dict):
        return parse_range(raw)
    _check_plain(raw)
    if not isinstance(raw, list):
        return Fixed((raw,))
    if not raw:
        raise ConfigError("choices must be at least one, but got [].")
    for place, value in enumerate(raw):
        if any(same(value, other) for other in raw[:place]):
            raise ConfigError(f"choices must differ, but {shown(value)} is there twice.")
    return Choice(tuple(raw))


def _check_plain(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif not (isinstance(value, (bool, str)) or is_number(value)):
        raise ConfigError(
            f"a value must be a finite number, a text, true, false or a list, but got {value}."
        )


def _holds(document: Any, keys: tuple[str, ...]) -> bool:
    """Whether something lies under the keys, of which a last one with a dot may be two."""
    if not keys:
        return True
    if not isinstance(document, dict):
        return False
    if keys[0] in document:
        return _holds(document[keys[0]], keys[1:])
    owner, dot, rest = keys[0].partition(".")
    return bool(dot) and _holds(document.get(owner), (rest, *keys[1:]))
