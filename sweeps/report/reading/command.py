"""The command that trains one of a study's trials again, alone."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Any

import pandas as pd

from sweeps.report.reading.columns import CONFIG_COLUMNS, arguments
from sweeps.space import SEARCHED
from trainer.settings.config import TrainConfig
from trainer.settings.flags import Flags

_ALWAYS = (*SEARCHED, "epochs")
_FLAGS = Flags(TrainConfig)
_DEFAULTS = {item.name: item.default for item in fields(TrainConfig)}


def train_command(row: pd.Series[Any]) -> str:
    """The command for a row of the trials.

    Options that have their default are left out, save what a sweep searches and `--epochs`.
    """
    given = row.dropna()
    words = ["python", "-m", "trainer"]
    for name in dict.fromkeys((*_ALWAYS, *CONFIG_COLUMNS)):
        column, default = CONFIG_COLUMNS[name], _DEFAULTS[name]
        if column not in given:
            continue
        kind: Any = int if default is None else type(default)
        value = kind(given[column])  # beside a missing one a whole number may have become a float
        if name in _ALWAYS or value != default:
            words += _FLAGS.words(name, value)
    for name in arguments(given.index):
        words += ["--set", f"{name}={given[name]}"]
    return shlex.join(words)
