"""Parsing a range: bounds, and optionally a step, a logarithmic scale or a grid."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sweeps.space.parameter import EPOCHS, Grid, Parameter, Range
from sweeps.space.values import exact, shown
from trainer.errors import ConfigError, unknown
from trainer.settings.fields import is_number

_KEYS = ("low", "high", "step", "log", "grid")
_MOST_STEPS = 1e15  # more cannot be told apart as floats

GRID = "1-2-5"
"""The only kind of grid: 1, 2 and 5 times each power of ten."""


def parse_range(raw: Mapping[str, Any]) -> Parameter:
    """Parse `{ low = ..., high = ..., ... }`.

    Raises:
        ConfigError: the range is invalid.
    """
    for key in raw:
        if key not in _KEYS:
            raise ConfigError(unknown("part of a range", key, _KEYS))
    low, high = (_bound(raw, key) for key in ("low", "high"))
    log, step, grid = raw.get("log", False), raw.get("step"), raw.get("grid")
    if not isinstance(log, bool):
        raise ConfigError(f"log must be true or false, but got {shown(log)}.")
    if grid not in (None, GRID):
        raise ConfigError(unknown("grid", shown(grid), (GRID,)))
    chosen = [key for key in ("step", "log", "grid") if raw.get(key) not in (None, False)]
    if "step" in raw and "step" not in chosen:
        chosen.insert(0, "step")
    if len(chosen) > 1:
        raise ConfigError(
            f"a range must have only one of step, log and grid, but has {' and '.join(chosen)}."
        )
    made = Range(low, high, log=log)
    if step is not None:
        _check_step(step, made)
        made = Range(low, high, step)
    if EPOCHS in (low, high):
        if not made.whole or grid:
            raise ConfigError(
                f"a range with {EPOCHS!r} must have a whole number as other bound, and no grid."
            )
    else:
        made.resolve(1)  # raises if low is above high
    if (log or grid) and low != EPOCHS and low <= 0:
        raise ConfigError(f"low must be above 0 with {chosen[0]}, but got {shown(low)}.")
    return _grid(made) if grid else made


def _bound(raw: Mapping[str, Any], key: str) -> Any:
    if key not in raw:
        raise ConfigError(f"a range must have low and high, but has no {key}.")
    got = raw[key]
    if not is_number(got) and got != EPOCHS:
        raise ConfigError(f"{key} must be a number or {EPOCHS!r}, but got {shown(got)}.")
    return got


def _check_step(step: Any, bounds: Range) -> None:
    if not is_number(step) or step <= 0:
        raise ConfigError(f"step must be a number above 0, but got {shown(step)}.")
    if bounds.whole and not isinstance(step, int):
        raise ConfigError(
            f"step must be whole if both bounds are, but got {shown(step)}; write a bound as 1.0 "
            "for a range of floats."
        )
    if EPOCHS not in (bounds.low, bounds.high) and bounds.high - bounds.low > _MOST_STEPS * step:
        raise ConfigError(
            f"a range must have at most {_MOST_STEPS:g} steps, but step is {shown(step)}."
        )


def _grid(bounds: Range) -> Grid:
    """The 1-2-5 grid within the bounds."""
    low, high = exact(bounds.low), exact(bounds.high)
    powers = range(low.adjusted(), high.adjusted() + 2)
    values = [Decimal(digit).scaleb(power) for power in powers for digit in (1, 2, 5)]
    within = [value for value in values if low <= value <= high]
    number = int if bounds.whole else float
    if not within:
        below, above = max(it for it in values if it < low), min(it for it in values if it > high)
        raise ConfigError(
            f"a {GRID} grid must have a number from {shown(bounds.low)} to {shown(bounds.high)}, "
            f"but has none; the nearest are {shown(number(below))} and {shown(number(above))}."
        )
    return Grid(tuple(number(value) for value in within))
