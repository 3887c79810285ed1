"""Frames of trials, epochs and repeats from MLflow's runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.report.reading.columns import (
    CONFIG_COLUMNS,
    CURVE_COLUMNS,
    FINAL_METRICS,
    REPEAT_COLUMNS,
    TRIAL_COLUMNS,
)
from sweeps.report.reading.runs import NAMES, OF_RUNS, Run, own_metrics
from sweeps.space import SEARCHED
from trainer.metrics import EPOCH_METRICS
from trainer.tracking.connection import unbounded
from trainer.tracking.names import (
    CONFIRMS_TAG,
    EPOCH_ENDED_AT,
    EPOCH_REUSED,
    EPOCH_WORKER,
    RETRAINED_TAG,
    REUSED_TAG,
    STATE_TAG,
    TRAINED_TAG,
    TRIAL_TAG,
)
from trainer.tracking.record import BEST, RUNNING, SUSPENDED

_LARGEST = sys.float_info.max  # which MLflow stores instead of an infinity


def trial_of(run: Run) -> int:
    """The number of a run's trial."""
    return int(run.tags[TRIAL_TAG])


def read_curves(runs: Sequence[Run], points: NDArray[Any]) -> pd.DataFrame:
    """The curves of these runs; see `sweeps.report.reading.frames.load_curves`.

    Args:
        runs: runs of trials.
        points: all metrics of their epochs, as `sweeps.report.reading.runs.POINT`s.
    """
    # a retrained epoch has two values, of which the later one is used
    points = points[np.argsort(points["timestamp"], kind="stable")]
    trials = np.array([trial_of(run) for run in runs], dtype=np.int64)
    epochs = trials[points["run"]] << 32 | points["epoch"]
    known, place = np.unique(epochs, return_inverse=True)
    own = own_metrics(runs)
    table = np.full((len(NAMES) + len(own), len(known)), np.nan)
    table[points["name"], place] = points["value"]
    far = np.abs(table) >= _LARGEST
    table[far] = np.copysign(np.inf, table[far])
    frame = pd.DataFrame(dict(zip([*NAMES, *own], table, strict=True)))
    frame.insert(0, "trial", known >> 32)
    frame.insert(1, "epoch", known & 0xFFFFFFFF)
    frame = frame[frame[EPOCH_ENDED_AT].notna()].reset_index(drop=True)
    order = ["trial", "epoch", *EPOCH_METRICS, EPOCH_REUSED, EPOCH_WORKER, EPOCH_ENDED_AT, *own]
    frame = frame[order].set_axis([*CURVE_COLUMNS, *own], axis=1)
    frame["reused"] = frame["reused"] == 1
    microseconds = (frame["ended_at"] * 1e6).round().astype("int64")
    frame["ended_at"] = pd.to_datetime(microseconds, unit="us", utc=True)
    return frame.astype(CURVE_COLUMNS)


def read_trials(runs: Sequence[Run], curves: pd.DataFrame) -> pd.DataFrame:
    """The trials of these runs, in order; see `sweeps.report.reading.frames.load_trials`."""
    rows = [
        {
            name: unbounded(value)
            for name, value in run.metrics.items()
            if run.has_measured(name) or name not in OF_RUNS
        }
        | {
            "trial": trial_of(run),
            "state": run.tags[STATE_TAG],
            "retrained_epochs": int(run.tags.get(RETRAINED_TAG, 0)),
            "seconds": _seconds(run),
            "started_at": pd.Timestamp(run.started_at, unit="ms", tz="UTC"),
            "run_id": run.id,
        }
        for run in runs
    ]
    own = [BEST + name for name in own_metrics(runs) if any(BEST + name in row for row in rows)]
    frame = pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *own]).set_index("trial")
    by_trial = curves.groupby("trial")
    last = by_trial.tail(1).set_index("trial")  # last() would skip NaN
    frame[[*FINAL_METRICS]] = last[[*FINAL_METRICS]]
    frame["epochs"] = by_trial.size().reindex(frame.index, fill_value=0)
    frame["reused_epochs"] = by_trial["reused"].sum().reindex(frame.index, fill_value=0)
    frame["trained_epochs"] = frame["epochs"] - frame["reused_epochs"]
    frame = frame.reset_index().astype(TRIAL_COLUMNS)
    params = _params([run.params for run in runs])
    return pd.concat([frame[["trial", "state"]], params, frame.iloc[:, 2:]], axis=1)


def read_repeats(runs: Sequence[Run], objective: str) -> pd.DataFrame:
    """The repeats of these runs; see `sweeps.report.reading.frames.StudyFrames`.

    A run without parameters is left out: whoever made it was killed before it sent them, and the
    same command sends them.
    """
    rows = [
        {
            "trial": int(run.tags[CONFIRMS_TAG]),
            "seed": int(run.params["seed"]),
            "state": run.tags[STATE_TAG],
            "value": float(run.metrics.get(BEST + objective, np.nan)),
            "epochs": sum(int(run.tags.get(tag, 0)) for tag in (TRAINED_TAG, REUSED_TAG)),
            "seconds": _seconds(run),
            "started_at": pd.Timestamp(run.started_at, unit="ms", tz="UTC"),
            "run_id": run.id,
        }
        for run in runs
        if run.params
    ]
    frame = pd.DataFrame(rows, columns=list(REPEAT_COLUMNS)).astype(REPEAT_COLUMNS)
    return frame.sort_values(["trial", "seed"], ignore_index=True)


def _params(params: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """One column per parameter: default searched ones, other fields of the config, arguments."""
    texts = pd.DataFrame(params, dtype="object")
    names = dict.fromkeys((*SEARCHED, "epochs", *CONFIG_COLUMNS, *sorted(map(str, texts))))
    texts = texts.reindex(columns=list(names))
    # "None" is a possible value of an argument, but means a missing value for a field
    texts[[*CONFIG_COLUMNS]] = texts[[*CONFIG_COLUMNS]].replace(["None", ""], math.nan)
    frame = pd.DataFrame({name: _parsed(texts[name]) for name in texts})
    types = {"optimizer": "str", "lr": "float64", "gamma": "float64"}
    if not params:
        types["step_size"] = "int64"
    return frame.astype(types).rename(columns=CONFIG_COLUMNS)


def _parsed(texts: pd.Series[Any]) -> pd.Series[Any]:
    """The texts as bool, int or float if all of them are, else as str."""
    given = texts.dropna()
    whole = len(given) == len(texts)
    if given.empty:
        return texts.astype("float64")
    if given.isin(("True", "False")).all():
        bools = texts.map({"True": True, "False": False})
        return bools.astype("bool" if whole else "boolean")
    if given.str.fullmatch(r"-?\d{1,18}").all():
        return texts.astype("int64" if whole else "Int64")
    try:
        return texts.astype("float64")
    except ValueError:
        return texts.astype("str")


def _seconds(run: Run) -> float:
    if run.tags[STATE_TAG] in (RUNNING, SUSPENDED) or run.ended_at is None:
        return math.nan
    return (run.ended_at - run.started_at) / 1000
