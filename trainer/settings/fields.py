"""Settings: fields of config classes, each declared once with type, default, checks and help.

Command-line flags, `--help` and validation are derived from that declaration;
`trainer.settings.flags.takes` generates the flags.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
        help: one line for `--help`.
        checks: applied in order when a config is constructed; a default of None is not checked.
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

    Fields whose default is a bool, a text or a mapping are checked for that type by themselves.
    """
    if isinstance(default, bool):
        checks = (instance_of(bool, "true or false"), *checks)
    if isinstance(default, str) and not checks:
        checks = (instance_of(str, "a text"),)
    if isinstance(default, dict):
        checks = (instance_of(Mapping, "arguments by name"), *checks)
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
    return declared  # type: ignore[no-any-return] # in a dataclass, the attribute has type T


def settings_of(config: Any) -> Iterator[tuple[Field[Any], Setting]]:
    """Fields of a config or config class, each with its metadata, in order."""
    return ((it, it.metadata[_KEY]) for it in fields(config) if _KEY in it.metadata)


def check_fields(config: Any) -> None:
    """Apply the checks of each field; for `__post_init__` of a frozen dataclass.

    Raises:
        ConfigError: a value is invalid.
    """
    for item, declared in settings_of(config):
        value = getattr(config, item.name)
        if value is None and item.default is None:
            continue
        for check in declared.checks:
            value = check(item.name, value)
        object.__setattr__(config, item.name, value)


def one_of(allowed: Iterable[str], *, or_reference: bool = False) -> Check:
    """Check for one of these names, or with `or_reference` for a reference to user code."""
    names = tuple(allowed)

    def check(name: str, got: Any) -> Any:
        if got in names or (or_reference and is_reference(got)):
            return got
        raise ConfigError(unknown(name, got, (*names, REFERENCE) if or_reference else names))

    return check


def reference_or_none(name: str, got: Any) -> Any:
    """Check for a reference to user code, or an empty text."""
    if got != "" and not is_reference(got):
        raise ConfigError(f"{name} must be package.module:Class, but got {got!r}.")
    return got


def references_by_name(reserved: Collection[str]) -> Check:
    """Check for references to user code under names of the user's choice, none of them reserved."""

    def check(name: str, got: Mapping[Any, Any]) -> Any:
        for key, reference in got.items():
            if not isinstance(key, str) or not key.isidentifier() or key.startswith("best_"):
                raise ConfigError(
                    f"A name in {name} must be letters, digits and '_', the first no digit, and "
                    f"not begin with best_, but got {key!r}."
                )
            if key in reserved:
                raise ConfigError(
                    f"A name in {name} must not be one of {', '.join(sorted(reserved))}, but got "
                    f"{key!r}."
                )
            if not is_reference(reference):
                raise ConfigError(f"{name} {key} must be {REFERENCE}, but got {reference!r}.")
        return dict(got)

    return check


def subset_of(*allowed: str) -> Check:
    """Check for some of these words, separated by commas; normalizes to this order."""
    word_of = one_of(allowed)

    def check(name: str, got: Any) -> Any:
        if not isinstance(got, str):
            raise ConfigError(f"{name} must be words separated by commas, but got {got!r}.")
        words = {word_of(name, word.strip()) for word in got.split(",") if word.strip()}
        return ",".join(word for word in allowed if word in words)

    return check


def integer(least: int, below: int | None = None) -> Check:
    """Check for an integer of at least `least` and below `below`."""

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


def instance_of(kind: type, described: str) -> Check:
    """Check for a type, which the message describes in words."""

    def check(name: str, got: Any) -> Any:
        if not isinstance(got, kind):
            raise ConfigError(f"{name} must be {described}, but got {got!r}.")
        return got

    return check


def number(name: str, got: Any) -> Any:
    """Check for a finite number."""
    if not is_number(got):
        raise ConfigError(f"{name} must be a number, but got {got!r}.")
    return got


def positive(name: str, got: Any) -> Any:
    """Check for a finite number above 0."""
    if not (is_number(got) and got > 0):
        raise ConfigError(f"{name} must be a number above 0, but got {got!r}.")
    return got


def fraction(name: str, got: Any) -> Any:
    """Check for a number in (0, 1]."""
    if not (is_number(got) and 0 < got <= 1):
        raise ConfigError(f"{name} must be in (0, 1], but got {got!r}.")
    return got


def is_number(got: object) -> bool:
    """Whether `got` is a finite int or float; a bool is not a number."""
    return isinstance(got, (int, float)) and not isinstance(got, bool) and math.isfinite(got)
