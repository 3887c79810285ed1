"""A study as DataFrames: one row a trial, and one row a trial and epoch, read back from MLflow."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sweeps.errors import SweepError, UnknownStudy
from trainer.config import TrainConfig
from trainer.errors import unknown
from trainer.metrics import EPOCH_METRICS, RUNNING_LOSS, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from trainer.paths import Paths
from trainer.record import BEST, BEST_EPOCH, BEST_METRICS, RUNNING
from trainer.tracking import (
    EPOCH_ENDED_AT,
    EPOCH_REUSED,
    EPOCH_WORKER,
    GROUP_TAG,
    STATE_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    connect,
    search_runs,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "sweeps"
"""MLflow's experiment that all studies are in."""

OBJECTIVE_TAG = "sweep.objective"
TRIALS_TAG = "sweep.trials"
"""Only on a study's own run: the metric its trials are judged by, and how many were asked for."""

ASKED_EPOCHS = "asked_epochs"
FINAL_METRICS = (VAL_LOSS, VAL_ACCURACY, RUNNING_LOSS, TRAIN_LOSS)
CONFIG_COLUMNS = {
    item.name: ASKED_EPOCHS if item.name == "epochs" else item.name
    for item in fields(TrainConfig)
    if item.name != "optimizer_args"
}
"""In which column of the trials each field of a config stands."""

SEARCHED = ("optimizer", "lr", "step_size", "gamma")

_TIME = "datetime64[us, UTC]"
TRIAL_COLUMNS = {
    "trial": "int64",
    "state": "str",
    **dict.fromkeys((BEST + name for name in BEST_METRICS), "float64"),
    BEST_EPOCH: "Int64",
    **dict.fromkeys(FINAL_METRICS, "float64"),
    "epochs": "Int64",
    "trained_epochs": "Int64",
    "reused_epochs": "Int64",
    "seconds": "float64",
    "started_at": _TIME,
    "run_id": "str",
}
"""Type of each column of the trials that is no parameter."""

CURVE_COLUMNS = {
    "trial": "int64",
    "epoch": "int64",
    **dict.fromkeys(EPOCH_METRICS, "float64"),
    "reused": "bool",
    "worker": "Int64",
    "ended_at": _TIME,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFrames:
    """All that MLflow shows of one study.

    Attributes:
        name: of the study.
        objective: the metric trials are judged by, a name in `trainer.metrics.OBJECTIVES`.
        asked: how many trials were asked for.
        run_id: MLflow's id of the study's run, the parent of its trials' runs.
        experiment_id: MLflow's id of the experiment they are in.
        view: the command or address that shows them in a browser.
        trials: see `load_trials`.
        curves: see `load_curves`.
    """

    name: str
    objective: str
    asked: int
    run_id: str
    experiment_id: str
    view: str
    trials: pd.DataFrame
    curves: pd.DataFrame


def load_trials(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a trial, sorted by trial.

    Columns, in this order:
        trial: its number, from 0; int64.
        state: running, complete, pruned, diverged, failed or interrupted; str.
        optimizer: class of torch.optim; str.
        lr: initial learning rate; float64.
        step_size: epochs between two decays of the rate; int64.
        gamma: factor of each decay; float64.
        asked_epochs: epochs the trial was to train; int64.
        dataset, split, limit, model, batch_size, shuffle, seed, device, threads: see `TrainConfig`.
        momentum and the like: one column for every argument of an optimizer that a trial gave.
        best_val_loss: lowest mean loss on the validation images of all epochs; float64. Missing
            while the trial runs and where it diverged or failed; likewise the next three.
        best_val_accuracy: highest share of validation images classified rightly, 0 to 1; float64.
        best_running_loss: lowest sum of the mean losses of an epoch's batches; float64.
        best_epoch: the epoch with the best value of the objective, from 1; Int64.
        val_loss, val_accuracy, running_loss, train_loss: of the last epoch logged; float64.
        epochs: how many were logged; Int64.
        trained_epochs: how many of those were trained for this trial; Int64.
        reused_epochs: how many of those were first trained for another one; Int64.
        seconds: from its start to its end, pauses between included; NaN while it runs; float64.
        started_at: when; datetime64[us, UTC].
        run_id: MLflow's; str.

    A parameter is bool where each trial's text is such, else int64, float64 or str; where a trial
    has none the value is missing, and bool and int64 are then boolean and Int64.

    Args:
        study: its name; None takes the newest.
        tracking_uri: MLflow's store; None takes MLFLOW_TRACKING_URI, else ./mlflow.db.

    Raises:
        UnknownStudy: there is no such study, or none at all.
        SweepError: MLflow's store cannot be read.
    """
    return load_study(study, tracking_uri).trials


def load_curves(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row a trial and epoch, sorted by both.

    Columns, in this order:
        trial: its number, from 0; int64.
        epoch: from 1; int64.
        running_loss, train_loss, val_loss, val_accuracy, lr, epoch_seconds, images_per_second: see
            `trainer.metrics.EpochResult`; float64, NaN and infinities as training gave them.
        reused: whether the epoch was first trained for another run; bool.
        worker: process id of the worker that trained it; Int64.
        ended_at: when it was trained; datetime64[us, UTC].

    Args and errors are those of `load_trials`.
    """
    return load_study(study, tracking_uri).curves


def load_study(study: str | None = None, tracking_uri: str | None = None) -> StudyFrames:
    """The whole of a study; arguments and errors are those of `load_trials`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = tracking_uri or Paths.here().tracking_uri
    database = _database(uri)
    if database is not None and not database.exists():  # MLflow would make one
        raise UnknownStudy(
            f"A study must be in MLflow's store, but there is no {database}; to begin a study: "
            "python -m sweeps.run"
        )
    try:
        return read_study(connect(uri), study, _view(uri, database))
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise SweepError(f"MLflow's store {_shown(uri)} cannot be read: {reason}") from error


def study_names(client: MlflowClient) -> list[str]:
    """The studies there are, newest first."""
    return list(dict.fromkeys(run.data.tags[STUDY_TAG] for run in _parents(client)))


def read_study(
    client: MlflowClient, study: str | None = None, view: str = "mlflow ui"
) -> StudyFrames:
    """The study named `study` as `client` shows it (None: the newest).

    Raises:
        UnknownStudy: there is no such study, or none at all.
    """
    parents = _parents(client)
    if not parents:
        raise UnknownStudy("There is no study yet; to begin one: python -m sweeps.run")
    named = [run for run in parents if study in (None, run.data.tags[STUDY_TAG])]
    if not named:
        raise UnknownStudy(unknown("study", study, {run.data.tags[STUDY_TAG] for run in parents}))
    parent = named[0]
    tags = parent.data.tags
    query = f"tags.`{GROUP_TAG}` = '{tags[GROUP_TAG]}'"
    found = search_runs(client, parent.info.experiment_id, query)
    runs = sorted((run for run in found if TRIAL_TAG in run.data.tags), key=_trial)
    curves = _curves(client, runs)
    return StudyFrames(
        name=tags[STUDY_TAG],
        objective=tags[OBJECTIVE_TAG],
        asked=int(tags[TRIALS_TAG]),
        run_id=parent.info.run_id,
        experiment_id=parent.info.experiment_id,
        view=view,
        trials=_trials(runs, curves),
        curves=curves,
    )


def _parents(client: MlflowClient) -> list[Any]:
    """The runs of all studies, newest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    runs = search_runs(client, experiment.experiment_id, f"tags.`{TRIALS_TAG}` LIKE '%'")
    parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
    return sorted(parents, key=lambda run: int(run.info.start_time), reverse=True)


def _trial(run: Any) -> int:
    return int(run.data.tags[TRIAL_TAG])


def _curves(client: MlflowClient, runs: Iterable[Any]) -> pd.DataFrame:
    rows = []
    for run in runs:
        # First: an epoch's values arrive at once, so what is read later has these epochs too.
        ended = _history(client, run, EPOCH_ENDED_AT)
        reused, worker = (_history(client, run, name) for name in (EPOCH_REUSED, EPOCH_WORKER))
        metrics = {name: _history(client, run, name) for name in EPOCH_METRICS}
        for epoch in sorted(ended):
            values = [metrics[name].get(epoch, math.nan) for name in EPOCH_METRICS]
            pid = int(worker[epoch]) if epoch in worker else None
            time = pd.Timestamp(round(ended[epoch] * 1e6), unit="us", tz="UTC")
            rows.append([_trial(run), epoch, *values, reused.get(epoch) == 1, pid, time])
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS)).astype(CURVE_COLUMNS)


def _history(client: MlflowClient, run: Any, name: str) -> dict[int, float]:
    """The values of a metric by epoch; of two for one epoch the later."""
    if name not in run.data.metrics:
        return {}
    points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda it: it.timestamp)
    return {point.step: _value(point.value) for point in points}


def _value(stored: float) -> float:
    """MLflow keeps an infinity as the largest number there is."""
    return math.copysign(math.inf, stored) if abs(stored) >= sys.float_info.max else stored


def _trials(runs: Sequence[Any], curves: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "trial": [_trial(run) for run in runs],
        "state": [run.data.tags[STATE_TAG] for run in runs],
        **{
            name: [_value(run.data.metrics.get(name, math.nan)) for run in runs]
            for name in (*(BEST + metric for metric in BEST_METRICS), BEST_EPOCH)
        },
        "seconds": [_seconds(run) for run in runs],
        "started_at": [pd.Timestamp(run.info.start_time, unit="ms", tz="UTC") for run in runs],
        "run_id": [run.info.run_id for run in runs],
    }
    by_trial = curves.groupby("trial")
    last = by_trial.tail(1).set_index("trial").reindex(columns["trial"])
    reused = by_trial["reused"].sum().reindex(columns["trial"], fill_value=0)
    epochs = by_trial.size().reindex(columns["trial"], fill_value=0)
    columns |= {name: last[name].tolist() for name in FINAL_METRICS}
    columns |= {
        "epochs": epochs.tolist(),
        "reused_epochs": reused.tolist(),
        "trained_epochs": (epochs - reused).tolist(),
    }
    frame = pd.DataFrame(columns, columns=list(TRIAL_COLUMNS)).astype(TRIAL_COLUMNS)
    return pd.concat([frame[["trial", "state"]], _params(runs), frame.iloc[:, 2:]], axis=1)


def _params(runs: Sequence[Any]) -> pd.DataFrame:
    """A column for each parameter: the searched ones, the rest of the config, then arguments."""
    texts = [run.data.params for run in runs]
    arguments = sorted({name for params in texts for name in params} - CONFIG_COLUMNS.keys())
    names = list(dict.fromkeys((*SEARCHED, "epochs", *CONFIG_COLUMNS, *arguments)))
    columns = {}
    for name in names:
        # None is a value of an argument, but of a field it says that there is none
        none = "None" if name in CONFIG_COLUMNS else None
        column = _parsed(
            [None if params.get(name) == none else params.get(name) for params in texts]
        )
        columns[CONFIG_COLUMNS.get(name, name)] = column
    types = {"optimizer": "str", "lr": "float64", "gamma": "float64"}
    return pd.DataFrame(columns).astype(types if texts else types | {"step_size": "int64"})


def _parsed(texts: list[str | None]) -> pd.Series[Any]:
    """The texts as what all of them are: bools, whole numbers, numbers, or just texts."""
    given = [text for text in texts if text is not None]
    whole = len(given) == len(texts)
    if given and all(text in ("True", "False") for text in given):
        values = [None if text is None else text == "True" for text in texts]
        return pd.Series(values, dtype="bool" if whole else "boolean")
    if given and all(re.fullmatch(r"-?\d{1,18}", text) for text in given):
        numbers = [None if text is None else int(text) for text in texts]
        return pd.Series(numbers, dtype="int64" if whole else "Int64")
    try:
        return pd.Series(
            [math.nan if text is None else float(text) for text in texts], dtype="float64"
        )
    except ValueError:
        return pd.Series(texts, dtype="str")


def _seconds(run: Any) -> float:
    if run.data.tags[STATE_TAG] == RUNNING or run.info.end_time is None:
        return math.nan
    return float(run.info.end_time - run.info.start_time) / 1000


def _database(uri: str) -> Path | None:
    """The file of an SQLite store."""
    return Path(uri.partition("///")[2].partition("?")[0]) if uri.startswith("sqlite") else None


def _view(uri: str, database: Path | None) -> str:
    if database is not None and database.resolve() == Paths.here().root.resolve() / "mlflow.db":
        return "mlflow ui"
    shown = _shown(uri)
    return (
        shown if shown.startswith("http") else f"mlflow ui --backend-store-uri {shlex.quote(shown)}"
    )


def _shown(uri: str) -> str:
    """The URI without a password."""
    return re.sub(r"//[^/@]*@", "//", uri)
