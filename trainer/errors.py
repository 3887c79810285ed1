"""The errors a user can cause or meet; each is one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class TrainerError(Exception):
    """Base of every expected error of this package; anything else is a bug."""


class ConfigError(TrainerError):
    """A configuration that cannot be trained."""


class DataError(TrainerError):
    """A data set that cannot be had or is not what it should be."""


class StoreError(TrainerError):
    """A stage store that cannot be read or written."""


class TrackingError(TrainerError):
    """An MLflow store that cannot take or give what it is asked for."""


class LostState(TrackingError):
    """A checkpoint whose state is no longer stored; training its epoch again brings it back."""


class LostRuns(TrackingError):
    """A run that MLflow had taken and no longer has: it was deleted, or the store emptied."""


class PlatformMismatch(TrainerError):
    """This machine would give other numbers than the one that asked for a stage."""


def unknown(
    what: str,
    got: object,
    allowed: Iterable[str],
    most: int | None = None,
    also: Mapping[str, str] | None = None,
) -> str:
    """Say that `got` is no known `what`, the nearest of `allowed`, and up to `most` of them.

    `also` has other words for some of them, to which `got` may be nearer.
    """
    names = sorted(allowed)
    words = {**(also or {}), **{name: name for name in names}}
    folded = {word.casefold(): name for word, name in words.items()}
    near = difflib.get_close_matches(str(got).casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
    more = f", and {len(names) - most} more" if most and len(names) > most else ""
    return f"Unknown {what} {got!r}{hint} Choices: {', '.join(names[:most])}{more}."
