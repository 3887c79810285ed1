"""Names, order and types of the columns of a study's frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from trainer.metrics import (
    EPOCH_METRICS,
    RUNNING_LOSS,
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_LOSS,
    VAL_ACCURACY,
    VAL_LOSS,
)
from trainer.settings.config import TrainConfig
from trainer.tracking.record import BEST, BEST_EPOCH, BEST_METRICS

CONFIG_COLUMNS = {
    item.name: item.name for item in fields(TrainConfig) if not item.name.endswith("_args")
} | {"epochs": "asked_epochs"}
"""Column of the trials for each field of `TrainConfig`."""

FINAL_METRICS = (VAL_LOSS, VAL_ACCURACY, RUNNING_LOSS, TRAIN_LOSS)
"""Metrics of the last epoch."""

_TIME = "datetime64[us, UTC]"

TRIAL_COLUMNS = {
    "trial": "int64",
    "state": "str",
    **dict.fromkeys((BEST + name for name in BEST_METRICS), "float64"),
    BEST_EPOCH: "Int64",
    **dict.fromkeys((*FINAL_METRICS, TEST_LOSS, TEST_ACCURACY), "float64"),
    "epochs": "Int64",
    "trained_epochs": "Int64",
    "reused_epochs": "Int64",
    "retrained_epochs": "Int64",
    "seconds": "float64",
    "started_at": _TIME,
    "run_id": "str",
}
"""Type of each column of the trials, without parameters, which follow the state."""

CURVE_COLUMNS = {
    "trial": "int64",
    "epoch": "int64",
    **dict.fromkeys(EPOCH_METRICS, "float64"),
    "reused": "bool",
    "worker": "Int64",
    "ended_at": _TIME,
}
"""Type of each column of the curves."""

REPEAT_COLUMNS = {
    "trial": "int64",
    "seed": "int64",
    "state": "str",
    "value": "float64",
    "epochs": "int64",
    "seconds": "float64",
    "started_at": _TIME,
    "run_id": "str",
}
"""Type of each column of the repeats."""


def arguments(columns: Iterable[str]) -> list[str]:
    """The columns of trials that are arguments of an optimizer, scheduler or model."""
    known = {*TRIAL_COLUMNS, *CONFIG_COLUMNS.values()}
    return [name for name in columns if name not in known and not name.startswith(BEST)]
