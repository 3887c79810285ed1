"""Specs: the values of a parameter in one line, such as `SGD,AdamW` or `1e-4..1e-2`.

A spec is read as the value that the TOML file of a space has in its place, so that ranges and
choices are parsed once, in `sweeps.space.file`.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from typing import Any

from sweeps.space.described import literal
from sweeps.space.parameter import EPOCHS
from sweeps.space.values import exact
from trainer.errors import ConfigError
from trainer.settings.fields import is_number

FORMS = "a value (0.9), several (SGD,AdamW), or a range (1e-4..1e-2, with steps 0.1..0.9/0.1)"
"""The forms of a spec, for messages; besides, it can be TOML."""

_DECADE = 10
_WORDS = {"true": True, "false": False}


def parse_spec(text: Any) -> Any:
    """Parse a spec to the value of a space's file; what is no text is that value already.

    A range that spans more than a decade is logarithmic unless it has a step. A Python tuple is one
    fixed list, as `[...]` lists choices.

    Raises:
        ConfigError: it has none of the forms.
    """
    if not isinstance(text, str):
        return text
    text = text.strip()
    if text.startswith(("{", "[", '"', "'")):
        return _toml(text)
    if ".." in text:
        return _range(text)
    words = [text] if text.startswith("(") else [word.strip() for word in text.split(",")]
    if not all(words):
        raise _unreadable(text)
    values = [_scalar(word) for word in words]
    return values[0] if len(values) == 1 and not isinstance(values[0], list) else values


def values_of(raw: Any) -> list[Any]:
    """The values that a file's value lists, one if it is fixed; empty for a range."""
    if isinstance(raw, Mapping):
        return []
    return raw if isinstance(raw, list) else [raw]


def spelled(value: Any) -> str:
    """The spec of one fixed value."""
    if isinstance(value, (list, tuple)):
        return repr(tuple(value))
    text = str(value)
    try:
        is_plain = not isinstance(value, str) or parse_spec(text) == value
    except ConfigError:
        is_plain = False
    return text if is_plain else literal(value)


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(text) from error


def _range(text: str) -> dict[str, Any]:
    low, _, rest = text.partition("..")
    high, slash, step = rest.partition("/")
    bounds = {"low": _scalar(low), "high": _scalar(high)}
    numbers = [it for it in bounds.values() if it != EPOCHS]
    more = {"step": _scalar(step)} if slash else {}
    if not all(is_number(it) for it in (*numbers, *more.values())):
        raise _unreadable(text)
    if len(numbers) == len(bounds) and not slash and min(numbers) > 0:
        more = {"log": True} if exact(numbers[1]) > _DECADE * exact(numbers[0]) else {}
    return bounds | more


def _scalar(text: str) -> Any:
    """A Python literal, true, false, or else a text."""
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return _WORDS.get(text, text)
    return list(value) if isinstance(value, tuple) else value


def _unreadable(text: str) -> ConfigError:
    return ConfigError(f"must be {FORMS}, but got {text!r}.")
