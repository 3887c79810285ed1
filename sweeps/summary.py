"""What a study comes to: its winner, its best trials, and notes on them; frames in, values out."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from sweeps.frames import CONFIG_COLUMNS, SEARCHED, TRIAL_COLUMNS, StudyFrames
from trainer.config import TrainConfig
from trainer.metrics import OBJECTIVES, VAL_ACCURACY
from trainer.record import BEST, BEST_EPOCH, COMPLETE, DIVERGED, FAILED, PRUNED

TOP = 10
"""How many of the best trials a summary shows."""

_ALWAYS = (*SEARCHED, "epochs")
_OPTIONS = (
    *_ALWAYS,
    "batch_size",
    "dataset",
    "split",
    "limit",
    "seed",
    "shuffle",
    "threads",
    "device",
)
_DEFAULTS = {item.name: item.default for item in fields(TrainConfig)}


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best complete trial; where none is complete, the best pruned one.

    Attributes:
        trial: its number.
        state: complete or pruned.
        value: the best value of the objective over its epochs.
        epoch: the epoch that had it, from 1.
        val_accuracy: share of validation images classified rightly after that epoch, 0 to 1.
        params: what was searched, by name: optimizer, lr, step_size, gamma, arguments of the
            optimizer, and whatever else was not the same for all trials.
        command: trains it again.
        run_id: MLflow's.
    """

    trial: int
    state: str
    value: float
    epoch: int
    val_accuracy: float
    params: Mapping[str, Any]
    command: str
    run_id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """What a study comes to.

    Attributes:
        study: its name.
        objective: the metric its trials are judged by, each at its best epoch.
        maximize: whether more of it is better.
        asked: how many trials were asked for.
        trials: how many there are, whatever became of them.
        counts: how many of them by state, most first.
        winner: None until a trial is complete or pruned.
        ranked: how many are complete or pruned, with a best value that is a finite number.
        top: the `TOP` best of those, best first; a row has the trial,
            its state, best value, best epoch, number of epochs, and what `Winner.params` names.
        by_optimizer: a row an optimizer, best first: n (its trials), how many of them are complete,
            pruned, diverged and failed, and best and median value over the complete and pruned.
        epochs: how many were asked of the trainer, over all trials.
        trained_epochs: how many of those were trained.
        reused_epochs: how many of those had been trained for another trial or study.
        seconds: from the first start to the last end, pauses between included; None before that.
        view: the command or address that shows the study in a browser.
        notes: sentences to read before the winner is believed.
    """

    study: str
    objective: str
    maximize: bool
    asked: int
    trials: int
    counts: Mapping[str, int]
    winner: Winner | None
    ranked: int
    top: pd.DataFrame
    by_optimizer: pd.DataFrame
    epochs: int
    trained_epochs: int
    reused_epochs: int
    seconds: float | None
    view: str
    notes: tuple[str, ...]


def summarize(frames: StudyFrames) -> Summary:
    """Sum up a study, whatever state it is in."""
    trials, curves = frames.trials, frames.curves
    ranked = rank(frames)
    searched = _searched(trials)
    winner = _winner(frames, ranked, searched)
    value = BEST + frames.objective
    columns = dict.fromkeys(("trial", "state", value, BEST_EPOCH, "epochs", *searched))
    reused = int(curves["reused"].sum())
    return Summary(
        study=frames.name,
        objective=frames.objective,
        maximize=OBJECTIVES[frames.objective],
        asked=frames.asked,
        trials=len(trials),
        counts={str(state): int(n) for state, n in trials["state"].value_counts().items()},
        winner=winner,
        ranked=len(ranked),
        top=ranked[list(columns)].head(TOP).reset_index(drop=True),
        by_optimizer=_by_optimizer(trials, ranked, value, OBJECTIVES[frames.objective]),
        epochs=len(curves),
        trained_epochs=len(curves) - reused,
        reused_epochs=reused,
        seconds=_seconds(frames),
        view=frames.view,
        notes=tuple(_notes(frames, ranked, winner)),
    )


def rank(frames: StudyFrames) -> pd.DataFrame:
    """The complete and the pruned trials, best first, equal ones by number.

    Returns:
        Rows of `frames.trials`, with the columns `best_OBJECTIVE` and `best_epoch` from the curves
        where that best value is not logged.
    """
    name, more = BEST + frames.objective, OBJECTIVES[frames.objective]
    trials = frames.trials[frames.trials["state"].isin((COMPLETE, PRUNED))]
    if name not in trials:
        order = frames.curves.sort_values([frames.objective, "epoch"], ascending=[not more, True])
        best = order.drop_duplicates("trial")[["trial", frames.objective, "epoch"]]
        best.columns = pd.Index(["trial", name, BEST_EPOCH])
        trials = trials.drop(columns=BEST_EPOCH).merge(best, on="trial")
    finite = trials[np.isfinite(trials[name].astype("float64"))]
    return finite.sort_values([name, "trial"], ascending=[not more, True])


def train_command(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """The command that trains a trial again, alone.

    Args:
        row: of the trials.

    Returns:
        Options that have their default are left out, save what a sweep searches and `--epochs`.
    """
    words = ["python", "-m", "trainer"]
    for name in _OPTIONS:
        value = _as_field(name, row.get(CONFIG_COLUMNS[name]))
        if value is None or (value == _DEFAULTS[name] and name not in _ALWAYS):
            continue
        option = name.replace("_", "-")
        words += ["--no-shuffle"] if name == "shuffle" else [f"--{option}", str(value)]
    for name in _arguments(row.keys()):
        if not _missing(row[name]):
            words += ["--set", f"{name}={_plain(row[name])}"]
    return shlex.join(words)


def share(part: int, whole: int) -> str:
    """How many of how many, and that in percent; only nothing is 0 % and only all is 100 %."""
    if not whole:
        return "0 of 0"
    percent = 100 * part / whole
    shown = "<1" if 0 < percent < 1 else ">99" if 99 < percent < 100 else f"{percent:.0f}"
    return f"{part} of {whole} ({shown} %)"


def _winner(frames: StudyFrames, ranked: pd.DataFrame, searched: list[str]) -> Winner | None:
    complete = ranked[ranked["state"] == COMPLETE]
    if ranked.empty:
        return None
    row = (ranked if complete.empty else complete).iloc[0]
    curves, trial, epoch = frames.curves, int(row["trial"]), int(row[BEST_EPOCH])
    there = curves[(curves["trial"] == trial) & (curves["epoch"] == epoch)]
    return Winner(
        trial=trial,
        state=str(row["state"]),
        value=float(row[BEST + frames.objective]),
        epoch=epoch,
        val_accuracy=float(there[VAL_ACCURACY].iloc[0]) if len(there) else math.nan,
        params={name: _plain(row[name]) for name in searched if not _missing(row[name])},
        command=train_command(row),
        run_id=str(row["run_id"]),
    )


def _by_optimizer(
    trials: pd.DataFrame, ranked: pd.DataFrame, value: str, maximize: bool
) -> pd.DataFrame:
    states = pd.crosstab(trials["optimizer"], trials["state"])
    frame = states.reindex(columns=[COMPLETE, PRUNED, DIVERGED, FAILED], fill_value=0)
    frame.insert(0, "n", states.sum(axis=1))
    values = ranked.groupby("optimizer")[value]
    frame["best"] = values.max() if maximize else values.min()
    frame["median"] = values.median()
    frame = frame.rename_axis(columns=None).reset_index()
    order = frame.sort_values("best", ascending=not maximize, kind="stable")
    return order.reset_index(drop=True)


def _notes(frames: StudyFrames, ranked: pd.DataFrame, winner: Winner | None) -> Iterable[str]:
    trials, name = frames.trials, BEST + frames.objective
    if len(trials) < frames.asked:
        yield f"Of {frames.asked} trials asked for, {len(trials)} were begun."
    failed = trials[trials["state"] == FAILED]
    if len(failed):
        yield f"Failed trials: {share(len(failed), len(trials))}; MLflow has their tracebacks."
    diverged = trials[trials["state"] == DIVERGED]
    if len(diverged):
        low, high = diverged["lr"].min(), diverged["lr"].max()
        rates = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield f"Diverged trials: {share(len(diverged), len(trials))}, at lr {rates}."
    if winner is None:
        yield "No trial is complete or pruned yet, so none is ranked."
        return
    if winner.state == PRUNED:
        yield "No trial is complete yet: the best pruned one stands in for the winner."
    elif ranked.iloc[0]["trial"] != winner.trial:
        first = ranked.iloc[0]
        yield (
            f"Trial {first['trial']} was pruned after epoch {first['epochs']} though its {name}, "
            f"{first[name]:.6g}, is better than the winner's: train it to its end."
        )
    won = trials[trials["trial"] == winner.trial].iloc[0]
    if winner.epoch == won["epochs"]:
        yield f"The winner's best epoch, {winner.epoch}, is its last: train it for longer."
    tried = trials["lr"].dropna().unique()
    if len(tried) > 2 and won["lr"] in (tried.min(), tried.max()):
        end = "lowest" if won["lr"] == tried.min() else "highest"
        yield f"The winner's lr, {won['lr']:g}, is the {end} of {len(tried)} tried: try beyond it."


def _seconds(frames: StudyFrames) -> float | None:
    starts = frames.trials["started_at"]
    ends = starts + pd.to_timedelta(frames.trials["seconds"], unit="s")
    passed = pd.concat([starts, ends, frames.curves["ended_at"]]).max() - starts.min()
    return None if pd.isna(passed) else float(passed.total_seconds())


def _searched(trials: pd.DataFrame) -> list[str]:
    columns = list(CONFIG_COLUMNS.values())
    varied = [name for name in columns if name in trials and trials[name].nunique(dropna=False) > 1]
    return list(dict.fromkeys((*SEARCHED, *_arguments(trials.columns), *varied)))


def _arguments(columns: Iterable[Any]) -> list[str]:
    """Those of the columns that are arguments of an optimizer."""
    known = (
        TRIAL_COLUMNS.keys() | set(CONFIG_COLUMNS.values()) | {f"{BEST}{it}" for it in OBJECTIVES}
    )
    return [name for name in columns if name not in known]


def _as_field(name: str, value: Any) -> Any:
    """The value in the type that the field of a config has; None where it is missing."""
    if _missing(value):
        return None
    kind: Any = int if _DEFAULTS[name] is None else type(_DEFAULTS[name])
    return kind(value)


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value
