"""Proposed values of parameters: a wider range, or one below a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sweeps.space.ranges import GRID, parse_range
from sweeps.space.values import exact
from trainer.settings.fields import is_number

_FACTOR = 10  # by which a logarithmic range grows
_LOWEST = {"step_size": 1, "warmup": 0, "momentum": 0, "weight_decay": 0, "dampening": 0}
_HIGHEST = {"gamma": 1}  # natural bounds
_BELOW_ONE = ("momentum", "alpha", "rho")  # decay rates of running means


def numbers_of(entry: Any) -> list[float]:
    """Both ends of a range, or all numbers of a grid or of choices, sorted; else []."""
    if isinstance(entry, Mapping):
        entry = entry.get("grid") or [entry.get("low"), entry.get("high")]
    numbers = entry if isinstance(entry, list) else [entry]
    return sorted(numbers) if all(map(is_number, numbers)) else []


def wider(name: str, entry: Any, *, down: bool) -> Any:
    """Extend the description of a parameter at one end.

    Grids and logarithmic ranges grow by a decade, other ranges by half of their length in whole
    steps, choices by one value.

    Args:
        name: name of the parameter, which may have natural bounds.
        entry: its description in a space, with at least two numbers.
        down: whether to extend the lower end.

    Returns:
        None if the parameter is at its natural bound.
    """
    numbers = numbers_of(entry)
    low, high = numbers[0], numbers[-1]
    if (low if down else high) == (_LOWEST if down else _HIGHEST).get(name):
        return None
    if isinstance(entry, list):
        further = _next(name, numbers, down=down)
        if further is None:
            return None
        return [further, *entry] if down else [*entry, further]
    if "grid" in entry or entry.get("log"):
        low, high = (low, _times(high, _FACTOR)) if not down else (_divided(low, _FACTOR), high)
        return _grid(low, high) if "grid" in entry else {**entry, "low": low, "high": high}
    return _stretched(name, entry, down=down)


def below(entry: Any, border: float) -> Any:
    """The description with only the values below `border`; None if there are none."""
    numbers = numbers_of(entry)
    if not numbers or numbers[0] >= border:
        return None
    if isinstance(entry, Mapping) and "grid" in entry:
        return {"grid": [it for it in numbers if it < border]}
    if not isinstance(entry, Mapping):
        return [it for it in numbers if it < border]
    if numbers[-1] < border:
        return entry
    if step := entry.get("step", 1 if isinstance(numbers[-1], int) else None):
        steps = math.ceil((exact(border) - exact(numbers[0])) / exact(step)) - 1
        high = exact(numbers[0]) + steps * exact(step)
        return {**entry, "high": int(high) if isinstance(numbers[-1], int) else float(high)}
    return {**entry, "high": border}  # a continuous range never draws its end


def rates_below(border: float, low: float | None = None) -> Any:
    """A 1-2-5 grid of learning rates below a border, from `low` or from two decades below it.

    On this grid trials can reuse each other's epochs.
    """
    low = _divided(border, _FACTOR**2) if low is None else low
    grid = [it for it in _grid(low / _FACTOR, border)["grid"] if it < border]
    lowest = max(it for it in grid if it <= low)
    return {"grid": [it for it in grid if it >= lowest]}


def _grid(low: float, high: float) -> Any:
    return parse_range({"low": low, "high": high, "grid": GRID}).describe()


def _times(value: float, factor: int) -> float:
    return type(value)(exact(value) * factor)


def _divided(value: float, factor: int) -> float:
    """Exact division; an int stays an int of at least 1."""
    return max(1, value // factor) if isinstance(value, int) else float(exact(value) / factor)


def _next(name: str, numbers: list[float], *, down: bool) -> float | None:
    """The next number of the geometric sequence; if 1 is a bound, of that of the distances to 1."""
    if down:
        first, second = numbers[0], numbers[1]
        further = exact(first) * exact(first) / exact(second) if first > 0 else Decimal(0)
        possible = 0 < further < exact(first)
    else:
        first, second = numbers[-1], numbers[-2]
        if name in _BELOW_ONE or name in _HIGHEST:
            further = 1 - (1 - exact(first)) ** 2 / (1 - exact(second))
            possible = exact(first) < further < 1
        else:
            further = exact(first) * exact(first) / exact(second) if second > 0 else Decimal(0)
            possible = further > exact(first)
    value = float(f"{further:.4g}")
    if all(isinstance(it, int) for it in numbers):
        value = round(further)
    return value if possible and value not in numbers and value > 0 else None


def _stretched(name: str, entry: Mapping[str, Any], *, down: bool) -> Any:
    """A range extended by half of its length, within its steps and natural bounds."""
    whole = all(isinstance(entry[end], int) for end in ("low", "high"))
    low, high = exact(entry["low"]), exact(entry["high"])
    least = low / _FACTOR if low > 0 else Decimal(_LOWEST.get(name, "-Infinity"))
    most = Decimal(_HIGHEST.get(name, "Infinity"))
    if name in _BELOW_ONE:
        most = 1 - (1 - high) / _FACTOR
    space = low - least if down else most - high
    by = min((high - low) / 2, space)
    step = exact(entry.get("step") or (1 if whole else 0))
    if step and (by >= step or whole):
        by = by // step * step
    elif step:  # no whole step fits
        entry = {end: entry[end] for end in ("low", "high")}
    if not by:
        return None
    number = int if whole else float
    return {**entry, **({"low": number(low - by)} if down else {"high": number(high + by)})}
