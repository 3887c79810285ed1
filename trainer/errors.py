"""Expected errors; each message is one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class TrainerError(Exception):
    """Base class of expected errors; any other exception is a bug."""


class ConfigError(TrainerError):
    """An invalid configuration."""


class CodeFailed(ConfigError):
    """User code that ended its process, did not return in time, or raised without a reason."""


class DataError(TrainerError):
    """A data set that is unavailable or invalid."""


class StoreError(TrainerError):
    """A stage store that cannot be read or written."""


class TrackingError(TrainerError):
    """An MLflow store that fails to read or write."""


class LostState(TrackingError):
    """A checkpoint whose state was evicted; training its epoch again restores it."""


class LostRuns(TrackingError):
    """A run that MLflow had taken and no longer has: it was deleted, or the store emptied."""


class PlatformMismatch(TrainerError):
    """A worker on a platform that would give other numbers than the requested stage's."""


def unknown(
    what: str,
    got: object,
    allowed: Iterable[str],
    most: int | None = None,
    also: Mapping[str, str] | None = None,
) -> str:
    """Message for an unknown name: a suggestion, and up to `most` of the allowed names.

    `also` maps synonyms to allowed names; a name close to a synonym suggests the allowed one.
    """
    names = sorted(allowed)
    words = {**(also or {}), **{name: name for name in names}}
    folded = {word.casefold(): name for word, name in words.items()}
    near = difflib.get_close_matches(str(got).casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
    more = f", and {len(names) - most} more" if most and len(names) > most else ""
    return f"Unknown {what} {got!r}{hint} Choices: {', '.join(names[:most])}{more}."
