"""Expected errors; each message is one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class TrainerError(Exception):
    """Base class of expected errors; any other exception is a bug."""


class ConfigError(TrainerError):
    """An invalid configuration; whatever its message quotes, it is one printable line."""

    def __str__(self) -> str:
        return printable(super().__str__())


class CodeFailed(ConfigError):
    """User code that ended its process, did not return in time, or raised without a reason."""

    def __str__(self) -> str:  # with a traceback
        return Exception.__str__(self)


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


def printable(text: str, keep: str = "") -> str:
    """The text with control and formatting characters, which act on a terminal, as escapes.

    Args:
        text: may have come from anywhere.
        keep: characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(
        it if it.isprintable() or it in keep else it.encode("unicode_escape").decode()
        for it in text
    )


def shortened(line: str, most: int = 1000) -> str:
    """A line of at most so many characters, with "..." in its middle if it has more."""
    if len(line) <= most:
        return line
    return f"{line[: most * 2 // 3]} ... {line[5 - most // 3 :]}"
