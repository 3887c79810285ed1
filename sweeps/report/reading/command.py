"""Commands with the settings of a study: to train a trial again, and for the next sweep."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args, get_origin, get_type_hints

import pandas as pd

from sweeps.report.reading.columns import CONFIG_COLUMNS, arguments
from sweeps.report.reading.frames import StudyFrames
from sweeps.settings.config import SweepConfig
from sweeps.space import SEARCHED
from sweeps.space.described import is_function
from sweeps.space.spec import spelled
from trainer.metrics import VAL_LOSS
from trainer.settings.config import OF_EVERY_RUN, TrainConfig
from trainer.settings.flags import Flags

_ALWAYS = (*SEARCHED, "epochs")
_FLAGS = Flags(TrainConfig)
_DEFAULTS = {item.name: item.default for item in fields(TrainConfig)}
_TYPES = {
    name: ast.literal_eval if get_origin(kind) is Mapping else (get_args(kind) or (kind,))[0]
    for name, kind in get_type_hints(TrainConfig).items()
}
"""Type of each field, without None; of values by name, what reads their text."""


def train_command(row: pd.Series[Any]) -> str:
    """The command that trains a trial again, from its row of the trials.

    Defaults are omitted, except those of `--epochs` and of the parameters that a sweep searches.
    """
    given = row.dropna()
    words = ["python", "-m", "trainer"]
    own = {*OF_EVERY_RUN} if "trainable" in given else None  # fields, beside names of its config
    for name in dict.fromkeys((*_ALWAYS, *CONFIG_COLUMNS)):
        column, default = CONFIG_COLUMNS[name], _DEFAULTS[name]
        if column not in given:
            continue
        if own is not None and name not in own:
            words += ["--set", f"{name}={given[column]}"]
            continue
        # an integer may have become a float in a column with missing values
        value = _TYPES[name](given[column])
        if name in _ALWAYS or value != default:
            words += _FLAGS.words(name, value)
    for name in arguments(given.index):
        words += ["--set", f"{name}={given[name]}"]
    return shlex.join(words)


def base_of(settings: Mapping[str, Any]) -> TrainConfig:
    """The config shared by all trials of a study with these settings."""
    names = _DEFAULTS.keys() - {"unshared"}
    return TrainConfig(**{name: it for name, it in settings.items() if name in names})


def constants(base: TrainConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Searchable parameters that are constant in the study, where they differ from the default."""
    values = {name: getattr(base, name) for name in SEARCHED if name in settings}
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def next_command(frames: StudyFrames) -> str:
    """The command that writes the advised space, and prints the command that searches it."""
    words = ["python", "-m", "sweeps.report", "--study", frames.name, "--next", "next.toml"]
    return shlex.join([*words, *_store(frames)])


def advised_command(frames: StudyFrames, flags: Mapping[str, str]) -> str:
    """The command that searches the space of a study again with these flags; "" if it is unknown.

    A space from a file must be written first, since only its content is stored with the study.
    """
    from sweeps.space.file import default_space

    base = base_of(frames.settings)
    if is_function(frames.space):
        return sweep_command(frames, base, frames.space["function"], flags)
    if frames.space and frames.space != default_space(base.scheduler).describe(base):
        return next_command(frames)
    return sweep_command(frames, base, "", flags) if frames.space else ""


def sweep_command(
    frames: StudyFrames, base: TrainConfig, space: str, advised: Mapping[str, str]
) -> str:
    """The command that searches a space with the settings of a study.

    Args:
        frames: the study.
        base: config shared by all trials.
        space: argument of --space; "": the default space.
        advised: flags and values that override the study's settings.
    """
    words, known = list[str](), Flags(TrainConfig, but=SEARCHED)
    flags: dict[str, str] = {"--space": space} if space else {}
    for name, default in _DEFAULTS.items():
        value = getattr(base, name)
        if isinstance(value, Mapping) and not known.words(name, value):
            is_plain = name in ("optimizer_args", "trainable_args")
            owner = "" if is_plain else f"{name.removesuffix('_args')}."
            words += _set_words({f"{owner}{key}": it for key, it in value.items()})
        elif value == default:
            continue
        elif isinstance(value, (bool, Mapping)):
            words += known.words(name, value)
        elif named := known.words(name, value):
            flags[named[0]] = named[1]
    if not space.endswith(".toml"):
        words += _set_words(constants(base, frames.settings))
    settings = frames.settings
    plain = SweepConfig(
        train=base,
        objective=frames.objective,
        second=frames.second,
        direction=frames.directions,
        compare=frames.compare,
    )
    sampler = settings.get("sampler", plain.sampler)
    usual = replace(plain, sampler=sampler, pruner="", pruner_args={})
    chosen = {"objective": VAL_LOSS, "sampler": plain.sampler, "pruner": usual.pruner}
    for name, default in (chosen | {"search_seed": plain.search_seed, "patience": None}).items():
        if settings.get(name, default) != default:
            flags[f"--{name.replace('_', '-')}"] = str(settings[name])
    for name, defaults in (("sampler", {}), ("pruner", usual.pruner_args)):
        for key, value in settings.get(f"{name}_args", {}).items():
            words += [f"--{name}-arg", f"{key}={value}"] if defaults.get(key) != value else []
    if settings.get("direction"):
        flags["--direction"] = frames.directions
    if frames.compare:
        flags["--compare"] = frames.compare
    if frames.asked != plain.trials:
        flags["--trials"] = str(frames.asked)
    every = [word for flag in {**flags, **advised}.items() for word in flag]
    return shlex.join(["python", "-m", "sweeps.run", *every, *words, *_store(frames)])


def _set_words(values: Mapping[str, Any]) -> list[str]:
    return [word for name, it in values.items() for word in ("--set", f"{name}={spelled(it)}")]


def _store(frames: StudyFrames) -> list[str]:
    return ["--tracking-uri", frames.tracking_uri] if frames.tracking_uri else []
