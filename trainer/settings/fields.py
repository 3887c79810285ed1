"""Settings: fields of config classes, each declared once with type, default, checks and help.

Command-line flags, `--help` and validation follow from that declaration;
`trainer.settings.flags.takes` generates the flags.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from trainer.errors import ConfigError, unknown
from trainer.settings.references import is_reference

REFERENCE = "package.module:name"
"""Form of a reference to user code."""

T = TypeVar("T")
Check = Callable[[str, Any], Any]
"""Takes a field's name and value; returns the value to keep, or raises a ConfigError."""

_KEY = "setting"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Metadata of a field, besides its name, type and default.

    Attributes:
        help: one line for people.
        checks: applied in order when a config is constructed; None, as a default, passes.
        flag: command-line flag; None: the field's name in kebab case, "": no flag.
        metavar: placeholder of the value in `--help`; None: the type.
        shown: default as shown in `--help`; None: the value itself.
        parse: converts the flag's text; None: typer converts it by type.
    """

    help: str
    checks: tuple[Check, ...]
    flag: str | None
    metavar: str | None
    shown: str | None
    parse: Callable[[str], Any] | None


def setting(
    default: T,
    help: str,
    *checks: Check,
    flag: str | None = None,
    metavar: str | None = None,
    shown: str | None = None,
    parse: Callable[[str], Any] | None = None,
) -> T:
    """Declare a field of a config class; see `Setting` for the arguments.

    That it is a truth value, a text or a mapping like its default is checked without a check of its
    own.
    """
    if isinstance(default, bool):
        checks = (_true_or_false, *checks)
    if isinstance(default, str) and not checks:
        checks = (_text,)
    if isinstance(default, dict):
        checks = (_arguments_by_name, *checks)
    metadata = {
        _KEY: Setting(
            help=help, checks=checks, flag=flag, metavar=metavar, shown=shown, parse=parse
        )
    }
    declared: Any = (
        field(default_factory=default.copy, metadata=metadata)
        if isinstance(default, dict)
        else field(default=default, metadata=metadata)
    )
    return declared  # type: ignore[no-any-return] # what a dataclass makes of it has type T


def settings_of(config: Any) -> Iterator[tuple[Field[Any], Setting]]:
    """Fields of a config, or of its class, with their metadata, in order."""
    return ((it, it.metadata[_KEY]) for it in fields(config) if _KEY in it.metadata)


def check_fields(config: Any) -> None:
    """Apply the checks of each field; for `__post_init__` of a frozen dataclass.

    Raises:
        ConfigError: a value that is not allowed; with what was got and what is allowed.
    """
    for item, declared in settings_of(config):
        value = getattr(config, item.name)
        if value is None and item.default is None:
            continue
        for check in declared.checks:
            value = check(item.name, value)
        object.__setattr__(config, item.name, value)


def one_of(allowed: Iterable[str], *, or_reference: bool = False) -> Check:
    """One of these names, or a reference to user code."""
    names = tuple(allowed)

    def check(name: str, got: Any) -> Any:
        if got in names or (or_reference and is_reference(got)):
            return got
        raise ConfigError(unknown(name, got, (*names, REFERENCE) if or_reference else names))

    return check


def words_of(*allowed: str) -> Check:
    """Some of these words, separated by commas; normalized to this order."""
    word_of = one_of(allowed)

    def check(name: str, got: Any) -> Any:
        if not isinstance(got, str):
            raise ConfigError(f"{name} must be words with commas between, but got {got!r}.")
        words = {word_of(name, word.strip()) for word in got.split(",") if word.strip()}
        return ",".join(word for word in allowed if word in words)

    return check


def whole(least: int, below: int | None = None) -> Check:
    """A whole number of at least `least` and below `below`."""

    def check(name: str, got: Any) -> Any:
        if not isinstance(got, int) or isinstance(got, bool) or got < least:
            raise ConfigError(
                f"{name} must be a whole number of at least {least}, but got {got!r}."
            )
        if below is not None and got >= below:
            power = f"2**{below.bit_length() - 1}" if below.bit_count() == 1 else below
            raise ConfigError(f"{name} must be below {power}, but got {got}.")
        return got

    return check


def positive(name: str, got: Any) -> Any:
    """A finite number above 0."""
    if not (_is_number(got) and got > 0):
        raise ConfigError(f"{name} must be a number above 0, but got {got!r}.")
    return got


def share(name: str, got: Any) -> Any:
    """A number in (0, 1]."""
    if not (_is_number(got) and 0 < got <= 1):
        raise ConfigError(f"{name} must be in (0, 1], but got {got!r}.")
    return got


def _text(name: str, got: Any) -> Any:
    if not isinstance(got, str):
        raise ConfigError(f"{name} must be a text, but got {got!r}.")
    return got


def _true_or_false(name: str, got: Any) -> Any:
    if not isinstance(got, bool):
        raise ConfigError(f"{name} must be true or false, but got {got!r}.")
    return got


def _arguments_by_name(name: str, got: Any) -> Any:
    if not isinstance(got, Mapping):
        raise ConfigError(f"{name} must be arguments by name, but got {got!r}.")
    return got


def _is_number(got: object) -> bool:
    return isinstance(got, (int, float)) and not isinstance(got, bool) and math.isfinite(got)
