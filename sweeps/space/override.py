"""`--set`: values in a line that override a search space, or the config shared by all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.space.described import Change, changed, mapped, tables_of, without
from sweeps.space.file import document_of, parameter_of
from sweeps.space.spec import FORMS, parse_spec, spelled, values_of
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig, near_field
from trainer.settings.references import is_reference

FLAG = "--set"
_DECISIVE = ("optimizer", "scheduler", "model")  # they determine which arguments are valid


def override(
    train: TrainConfig, space: str, words: Sequence[str]
) -> tuple[TrainConfig, str | dict[str, Any]]:
    """Apply the words of `--set` to the config of all trials and to their space.

    A name that the space has gets these values in place of all its entries, conditional ones too.
    Of other names, one value goes into the config, and several go into the space.

    Args:
        train: config shared by all trials.
        space: PATH.toml or reference to a function; "": the default space.
        words: NAME=SPEC each.

    Returns:
        The config; and the space, unchanged or as a dict of specs.

    Raises:
        ConfigError: a word is no NAME=SPEC, or the space is a function, which has no entries.
    """
    if not words:
        return train, space
    given = dict(map(_parsed, words))
    fixed = {name: it[0] for name, raw in given.items() if len(it := values_of(raw)) == 1}
    train = train.override(fixed)
    if is_reference(space):
        if several := [name for name in given if name not in fixed]:
            raise ConfigError(
                f"{FLAG} {several[0]} must be one value, since the space {space} is a function, "
                f"which suggests several itself, but got {given[several[0]]}."
            )
        return train, space
    document = document_of(space, train)
    names = {name for table in tables_of(document) for name in table}
    changes = [Change(name, it) for name, it in given.items() if name in names or name not in fixed]
    if changes:
        document = changed(without(document, [it.name for it in changes]), changes)
    return _fitting(train, document), mapped(document, _spec) if changes else space


def _parsed(word: str) -> tuple[str, Any]:
    """Name and value of a word of `--set`."""
    name, equals, text = (part.strip() for part in word.partition("="))
    near = near_field(name)
    hint = f" Or is {near} meant?" if near else ""
    if not (name and equals and name.isprintable()):
        raise ConfigError(f"{FLAG} must be NAME= and {FORMS}, but got {word!r}.{hint}")
    try:
        raw = parse_spec(text)
        parameter_of(raw)  # checks it
    except ConfigError as error:
        raise ConfigError(f"{FLAG} {name}: {error}{hint}") from error
    return name, raw


def _fitting(train: TrainConfig, document: Mapping[str, Any]) -> TrainConfig:
    """The config with the first optimizer, scheduler and model of the space.

    No trial has those of the config, but they must fit the arguments given for all trials.
    """
    if train.trainable:
        return train
    values = {name: values_of(document[name]) for name in _DECISIVE if name in document}
    return train.override({name: it[0] for name, it in values.items() if it})


def _spec(name: str, raw: Any) -> Any:
    """The value of a file in a dict of specs, where texts stay texts."""
    return spelled(raw) if isinstance(raw, str) else raw
