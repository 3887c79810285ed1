"""Reading a search space from TOML or a dict; `default.toml` documents the format."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from sweeps.space.declared import DeclaredSpace
from sweeps.space.described import without
from sweeps.space.entries import Entries, Entry
from sweeps.space.parameter import Choice, Fixed, Parameter
from sweeps.space.ranges import parse_range
from sweeps.space.space import check_name
from sweeps.space.spec import parse_spec
from sweeps.space.values import same, shown
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.fields import is_number

_DEFAULT = "default.toml"
_OF_STEP_LR = ("step_size", "gamma")
_OWNERS = ("scheduler", "model", "loss")  # whose arguments are written "scheduler.NAME"


def default_text() -> str:
    """Text of the default space's file."""
    return (resources.files("sweeps.space") / _DEFAULT).read_text(encoding="utf-8")


def default_space(scheduler: str = "StepLR") -> DeclaredSpace:
    """The default space; the arguments of StepLR are searched only if it is the scheduler."""
    space = parse_space(default_text(), _DEFAULT)
    return space if scheduler == "StepLR" else space.without(*_OF_STEP_LR)


def read_space(path: str, base: TrainConfig) -> DeclaredSpace:
    """Read a space from a file, for a config shared by all trials.

    Raises:
        ConfigError: the file cannot be read, or is invalid.
    """
    return parse_space(_read(path), path, base)


def document_of(space: str, base: TrainConfig) -> dict[str, Any]:
    """The content of a space's file, with the names of nested tables in full.

    Args:
        space: PATH.toml; "": the default space, which is empty for a loop of the user's.
        base: the config shared by all trials.

    Raises:
        ConfigError: the file cannot be read, or is invalid.
    """
    if base.trainable and not space:
        return {}
    text, file = (_read(space), space) if space else (default_text(), _DEFAULT)
    parse_space(text, file, base)  # whose messages have lines
    document: dict[str, Any] = {}
    for (*where, name), raw in _items(tomllib.loads(text), file):
        table = document
        for word in where:
            table = table.setdefault(word, {})
        table[name] = raw
    return document if space or base.scheduler == "StepLR" else without(document, _OF_STEP_LR)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} must be a readable file, but: {reason}.") from error


def parse_space(text: str, file: str, base: TrainConfig | None = None) -> DeclaredSpace:
    """Parse a space; `file` is the name of the file in messages, `base` the config of all trials.

    Raises:
        ConfigError: the text is not TOML, or has an invalid entry; the message has its line.
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
    return space_of(
        document, file, lambda keys: f"{file}:{line_of(text, keys)}", lambda raw: raw, base
    )


def space_of(
    document: Mapping[str, Any],
    file: str = "space",
    place_of: Callable[[tuple[str, ...]], str] = lambda keys: "space",
    parse: Callable[[Any], Any] = parse_spec,
    base: TrainConfig | None = None,
) -> DeclaredSpace:
    """The space in a dict: as TOML is parsed to, or with specs in place of texts.

    Args:
        document: the dict.
        file: its name in messages.
        place_of: where what lies under such keys was written, for messages.
        parse: makes the value that a file would have of an entry.
        base: the config shared by all trials; None: the default.

    Raises:
        ConfigError: it says what cannot be.
    """
    entries = []
    for keys, raw in _items(document, file):
        place = place_of(keys)
        name, where = keys[-1], (keys[1], keys[2]) if len(keys) > 1 else None
        try:
            check_name(name, base or TrainConfig())
            entries.append(Entry(name, parameter_of(parse(raw)), where, place))
        except ConfigError as error:
            head = "" if str(error).startswith(name) else f"{name}: "
            raise ConfigError(f"{place}: {head}{error}") from error
    if all(isinstance(entry.parameter, Fixed) for entry in entries):
        raise ConfigError(f"{file} must have at least one parameter to search, but has none.")
    return DeclaredSpace(Entries(entries))


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """Number of the line on which the value of these TOML keys begins, from 1."""
    lines = text.splitlines()
    begin = 1
    for number in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # inside a multi-line value
        if _contains(document, keys):
            return begin
        begin = number + 1
    return begin


def _items(document: Mapping[str, Any], file: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys and value of each entry; keys are (name,) or ("when", parent, value, name)."""
    plain = {name: raw for name, raw in document.items() if name != "when"}
    tables: dict[tuple[str, ...], Any] = {(): plain}
    when = document.get("when", {})
    if not isinstance(when, dict) or not all(isinstance(it, dict) for it in when.values()):
        raise ConfigError(f"{file}: when must consist of tables, as in [when.optimizer.SGD].")
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


def parameter_of(raw: Any) -> Parameter:
    """The parameter that a value in a file describes.

    Raises:
        ConfigError: the value is invalid.
    """
    if isinstance(raw, dict):
        return parse_range(raw)
    _check_plain(raw)
    if not isinstance(raw, list):
        return Fixed((raw,))
    if not raw:
        raise ConfigError("choices must not be empty, but got [].")
    for place, value in enumerate(raw):
        if any(same(value, other) for other in raw[:place]):
            raise ConfigError(f"choices must differ, but {shown(value)} occurs twice.")
    return Choice(tuple(raw))


def _check_plain(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif not (isinstance(value, (bool, str)) or is_number(value)):
        raise ConfigError(
            f"a value must be a finite number, a text, true, false or a list, but got {value}."
        )


def _contains(document: Any, keys: tuple[str, ...]) -> bool:
    """Whether a document has these keys; a key with a dot may be two nested ones."""
    if not keys:
        return True
    if not isinstance(document, dict):
        return False
    if keys[0] in document:
        return _contains(document[keys[0]], keys[1:])
    owner, dot, rest = keys[0].partition(".")
    return bool(dot) and _contains(document.get(owner), (rest, *keys[1:]))
