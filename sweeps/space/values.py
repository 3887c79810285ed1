"""Numbers and other values as people write them, and the nearest that may be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from trainer.errors import ConfigError


def exact(value: float) -> Decimal:
    """The number that people see, as against the nearest binary one."""
    return Decimal(repr(value))


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def same(one: Any, other: Any) -> bool:
    """Whether two values are one to people: 1 and 1.0, a list and a tuple; not 1 and true."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def shown(value: Any) -> str:
    """A value, short."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def listed(values: Iterable[Any]) -> str:
    """The values, or of many the first few and the last."""
    words = [shown(value) for value in values]
    return ", ".join(words if len(words) < 7 else [*words[:4], f"... {words[-1]}"])


def nearest(name: str, what: object, value: Any, allowed: Iterable[float]) -> float:
    """The one of `allowed` that `value` is, but for rounding.

    Raises:
        ConfigError: it is none of them; `what` says of `name` what it must be.
    """
    if not is_number(value):
        raise ConfigError(f"{name} must be {what}, but got {shown(value)}.")
    near = min(allowed, key=lambda item: abs(item - value))
    if not math.isclose(near, value, rel_tol=1e-9):
        raise ConfigError(
            f"{name} must be {what}, but got {shown(value)}; the nearest is {shown(near)}."
        )
    return near
