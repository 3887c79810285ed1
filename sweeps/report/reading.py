"""Reading MLflow's runs: each trial becomes a row, and so does each of its epochs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from sweeps.report.columns import CONFIG_COLUMNS, CURVE_COLUMNS, FINAL_METRICS, TRIAL_COLUMNS
from sweeps.space import SEARCHED
from trainer.metrics import EPOCH_METRICS
from trainer.record import RUNNING
from trainer.tags import EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER, STATE_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


def trial_of(run: Any) -> int:
    """The number of the trial that one of MLflow's runs shows."""
    return int(run.data.tags[TRIAL_TAG])


def read_curves(client: MlflowClient, runs: Sequence[Any]) -> pd.DataFrame:
    """The curves of these runs; see `sweeps.report.frames.load_curves`."""
    points = [
        (trial_of(run), point.step, name, point.timestamp, _value(point.value))
        for run in runs
        # the time first: an epoch's values arrive at once, so what is read later is there too
        for name in (EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER, *EPOCH_METRICS)
        if name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]
    long = pd.DataFrame(points, columns=["trial", "epoch", "name", "timestamp", "value"])
    # an epoch that was trained again has two values; the later one counts
    long = long.sort_values("timestamp", kind="stable")
    long = long.drop_duplicates(["trial", "epoch", "name"], keep="last")
    wide = long.pivot(index=["trial", "epoch"], columns="name", values="value")
    frame = wide.reindex(columns=[*EPOCH_METRICS, EPOCH_REUSED, EPOCH_WORKER, EPOCH_ENDED_AT])
    frame = frame.dropna(subset=EPOCH_ENDED_AT).reset_index().set_axis(list(CURVE_COLUMNS), axis=1)
    frame["reused"] = frame["reused"] == 1
    microseconds = (frame["ended_at"] * 1e6).round().astype("int64")
    frame["ended_at"] = pd.to_datetime(microseconds, unit="us", utc=True)
    return frame.astype(CURVE_COLUMNS)


def read_trials(runs: Sequence[Any], curves: pd.DataFrame) -> pd.DataFrame:
    """The trials that these runs, in order, show; see `sweeps.report.frames.load_trials`."""
    rows = [
        {name: _value(value) for name, value in run.data.metrics.items()}
        | {
            "trial": trial_of(run),
            "state": run.data.tags[STATE_TAG],
            "seconds": _seconds(run),
            "started_at": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
            "run_id": run.info.run_id,
        }
        for run in runs
    ]
    frame = pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).set_index("trial")
    by_trial = curves.groupby("trial")
    last = by_trial.tail(1).set_index("trial")  # last() would pass over NaN
    frame[[*FINAL_METRICS]] = last[[*FINAL_METRICS]]
    frame["epochs"] = by_trial.size().reindex(frame.index, fill_value=0)
    frame["reused_epochs"] = by_trial["reused"].sum().reindex(frame.index, fill_value=0)
    frame["trained_epochs"] = frame["epochs"] - frame["reused_epochs"]
    frame = frame.reset_index().astype(TRIAL_COLUMNS)
    params = _params([run.data.params for run in runs])
    return pd.concat([frame[["trial", "state"]], params, frame.iloc[:, 2:]], axis=1)


def _params(params: Sequence[dict[str, str]]) -> pd.DataFrame:
    """A column for each parameter: the searched ones, the rest of the config, then arguments."""
    texts = pd.DataFrame(params, dtype="object")
    names = dict.fromkeys((*SEARCHED, "epochs", *CONFIG_COLUMNS, *sorted(map(str, texts))))
    texts = texts.reindex(columns=list(names))
    # "None" is a value of an argument, but of a field it says that there is none
    texts[[*CONFIG_COLUMNS]] = texts[[*CONFIG_COLUMNS]].replace(["None", ""], math.nan)
    frame = pd.DataFrame({name: _parsed(texts[name]) for name in texts})
    types = {"optimizer": "str", "lr": "float64", "gamma": "float64"}
    if not params:
        types["step_size"] = "int64"
    return frame.astype(types).rename(columns=CONFIG_COLUMNS)


def _parsed(texts: pd.Series[Any]) -> pd.Series[Any]:
    """The texts as what all of them are: bools, whole numbers, numbers, or just texts."""
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


def _value(stored: float) -> float:
    """MLflow keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, stored) if abs(stored) >= sys.float_info.max else stored


def _seconds(run: Any) -> float:
    if run.data.tags[STATE_TAG] == RUNNING or run.info.end_time is None:
        return math.nan
    return float(run.info.end_time - run.info.start_time) / 1000
