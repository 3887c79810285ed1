"""Formatting and comparing values, with numbers in decimal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from trainer.errors import ConfigError
from trainer.settings.fields import is_number


def exact(value: float) -> Decimal:
    """The number as written in decimal, not its binary approximation."""
    return Decimal(repr(value))


def same(one: Any, other: Any) -> bool:
    """Whether values are equal: 1 equals 1.0 and a list equals a tuple, but 1 is not true."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def shown(value: Any) -> str:
    """Format a value, floats without needless digits."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def listed(values: Iterable[Any]) -> str:
    """Format values; of many, the first four and the last."""
    words = [shown(value) for value in values]
    return ", ".join(words if len(words) < 7 else [*words[:4], f"... {words[-1]}"])


def nearest(name: str, what: object, value: Any, allowed: Iterable[float]) -> float:
    """The allowed value that `value` equals except for rounding.

    Args:
        name: name of the value, for the message.
        what: description of the allowed values, for the message.
        value: the value.
        allowed: allowed values.

    Raises:
        ConfigError: no allowed value is that close.
    """
    if not is_number(value):
        raise ConfigError(f"{name} must be {what}, but got {shown(value)}.")
    near = min(allowed, key=lambda item: abs(item - value))
    if not math.isclose(near, value, rel_tol=1e-9):
        raise ConfigError(
            f"{name} must be {what}, but got {shown(value)}; the nearest is {shown(near)}."
        )
    return near
