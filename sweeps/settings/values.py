"""Checks of single values of a sweep's settings: its space, directions and name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from trainer.errors import ConfigError

_DIRECTIONS = ("minimize", "maximize")

_MOST_BYTES = 180
"""Maximum length of a study's name: file systems take 255, with endings for files beside it."""


def space(name: str, got: Any) -> Any:
    """A name as it is; a dict as a copy with the types that TOML has, Optuna's ones as such."""
    if isinstance(got, str):
        return got
    try:
        if isinstance(got, Mapping):
            return json.loads(json.dumps(got, default=_described))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must have plain values, but: {error}.") from error
    raise ConfigError(
        f"{name} must be a PATH.toml, package.module:function or a dict of what such a file holds, "
        f"but got {got!r}."
    )


def directions(name: str, got: Any) -> Any:
    """Check for one direction, or two separated by a comma; "": none."""
    words = got.split(",") if isinstance(got, str) else [got]
    if got != "" and not (len(words) <= 2 and all(word in _DIRECTIONS for word in words)):
        raise ConfigError(
            f"{name} must be {' or '.join(_DIRECTIONS)}, or two of them separated by a comma, but "
            f"got {got!r}."
        )
    return got


def _described(got: Any) -> Any:
    """A distribution of Optuna, which is not imported here, as the file of a space has it."""
    known = type(got)
    if known.__module__ != "optuna.distributions":
        raise TypeError(f"got {got!r} of type {known.__name__}")
    if hasattr(got, "choices"):
        return got.choices
    has_step = got.step is not None and not got.log
    more = {"log": True} if got.log else {"step": got.step} if has_step else {}
    return {"low": got.low, "high": got.high, **more}


def file_name(name: str, got: Any) -> Any:
    """Check for a name of a study, which is also the name of files."""
    fits = isinstance(got, str) and re.fullmatch(r"\w[\w.\-]{0,99}", got)
    if not fits or len(got.encode()) > _MOST_BYTES:
        raise ConfigError(
            f"{name} must be 1 to 100 letters, digits, '.', '_' or '-' of at most {_MOST_BYTES} "
            f"bytes, the first no '.' or '-', as it names a file, but got {got!r}."
        )
    return got
