"""Ranking of a study's trials: the winner, the Pareto front, results by optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweeps.report.compare.confirmed import LEAST_SEEDS
from sweeps.report.reading.command import train_command
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.objectives import SECONDS
from trainer.metrics import EPOCH_SECONDS, LR, RUNNING_LOSS, TEST_ACCURACY, VAL_ACCURACY
from trainer.tracking.record import (
    BEST,
    BEST_EPOCH,
    COMPLETE,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    SUSPENDED,
)

OPEN = (SUSPENDED, RUNNING, INTERRUPTED)
"""States of trials that may be trained further."""

RANKED = (COMPLETE, PRUNED, *OPEN)
"""States of trials that are ranked by their best epoch so far: the default search trains few trials
to their end."""

STATES = (*RANKED, DIVERGED, FAILED)
"""All states, those of ranked trials first."""

LEAST_COMPLETE = 10
"""Number of complete trials that importances need."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best trial: of trials confirmed from enough seeds if there are any, else of all ranked.

    Attributes:
        trial: number of the trial.
        state: one of `RANKED`.
        value: best value of the objective over its epochs.
        epoch: the epoch of that value, from 1.
        epochs: number of trained epochs.
        asked_epochs: number of epochs of a complete trial.
        val_accuracy: accuracy on the validation images after that epoch, 0 to 1.
        test_accuracy: accuracy on the test images; None if it was not measured.
        params: searched parameters: optimizer, lr, step_size, gamma, arguments of the optimizer,
            and all others that differ between trials.
        command: command that trains the trial again.
        run_id: id of the trial's MLflow run.
    """

    trial: int
    state: str
    value: float
    epoch: int
    epochs: int
    asked_epochs: int
    val_accuracy: float
    test_accuracy: float | None
    params: Mapping[str, Any]
    command: str
    run_id: str


def rank(frames: StudyFrames) -> pd.DataFrame:
    """The trials that have a result and did not diverge or fail, best first; ties by number.

    Returns:
        Rows of `frames.trials`. `best_OBJECTIVE` and `best_epoch` are computed from the curves,
        since MLflow has no best value of some objectives and of open trials; `val_accuracy` is the
        one after the best epoch.
    """
    name, ascending = BEST + frames.objective, [not frames.maximize, True]
    order = frames.curves.sort_values([frames.objective, "epoch"], ascending=ascending)
    first = order.drop_duplicates("trial")
    best = first[["trial"]].assign(
        **{name: first[frames.objective], BEST_EPOCH: first["epoch"]},
        **{VAL_ACCURACY: first[VAL_ACCURACY]},
    )
    trials = frames.trials[frames.trials["state"].isin(RANKED)]
    trials = trials.drop(columns=best.columns[1:], errors="ignore").merge(best, on="trial")
    finite = trials[trials[name].abs() < math.inf]
    return finite.sort_values([name, "trial"], ascending=ascending)


def distinct(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """The ranked trials without duplicate results.

    Trials share all epochs before their learning rates differ. Two trials whose best epoch is one
    of these have the same result, and only the better ranked one is kept.
    """
    until = frames.curves.merge(ranked[["trial", frames.kind, BEST_EPOCH]], on="trial")
    until = until[until["epoch"] <= until[BEST_EPOCH]]
    metrics = [*dict.fromkeys((frames.objective, RUNNING_LOSS, LR))]
    if until[LR].isna().all():  # of a loop of the user's, whose shared epochs took the same time
        metrics = [frames.objective, EPOCH_SECONDS]
    curves = until.pivot(index=["trial", frames.kind], columns="epoch", values=metrics)
    curves = curves.reset_index(frames.kind).reindex(ranked["trial"])
    return ranked[~curves.duplicated().to_numpy()]


def with_second(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """The ranked trials with the value of the second objective as column `second_column`."""
    name = frames.second
    of_trials = frames.curves.groupby("trial")[EPOCH_SECONDS if name == SECONDS else name]
    if name == SECONDS:
        values = of_trials.sum()
    else:
        values = of_trials.max() if frames.is_maximized(name) else of_trials.min()
    return ranked.assign(**{second_column(name): ranked["trial"].map(values)})


def pareto_front(trials: pd.DataFrame, objectives: Mapping[str, bool]) -> pd.Series[bool]:
    """Which trials are on the Pareto front.

    Args:
        trials: one row per trial.
        objectives: one or two columns of it, and whether larger values are better.

    Returns:
        A mask by the index of `trials`. Trials with equal values are all on the front, trials with
        a missing value are not.
    """
    signs = [1 if more else -1 for more in objectives.values()]
    values = trials[list(objectives)].to_numpy(float) * signs
    order = np.lexsort((-values[:, -1], -values[:, 0]))  # best first by both objectives
    order = order[~np.isnan(values[order]).any(axis=1)]
    first, second = values[order, 0], values[order, -1]
    starts = np.ones(len(order), bool)  # of trials with equal first values
    starts[1:] = first[1:] != first[:-1]
    group, best = np.cumsum(starts) - 1, second[starts]
    before = np.full(len(best), np.nan)  # best second value of trials with a better first one
    before[1:] = np.maximum.accumulate(best)[:-1]
    front = np.zeros(len(trials), bool)
    front[order] = ((second == best[group]) & ~(best <= before)[group]) if len(order) else False
    return pd.Series(front, index=trials.index, dtype="bool")


def find_front(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """The ranked trials on the Pareto front, best by the first objective first.

    Returns:
        Rows of `with_second`; none for a study with one objective.
    """
    if not frames.second:
        return ranked.head(0)
    first, second = BEST + frames.objective, second_column(frames.second)
    both = with_second(frames, ranked)
    more = {first: frames.maximize, second: frames.is_maximized(frames.second)}
    return both[pareto_front(both, more)]


def second_column(name: str) -> str:
    """Name of the column of a second objective."""
    return SECONDS if name == SECONDS else BEST + name


def find_winner(
    frames: StudyFrames, ranked: pd.DataFrame, searched: Sequence[str], confirmed: pd.DataFrame
) -> Winner | None:
    """The best confirmed trial, else the first ranked one; None if no trial is ranked.

    Args:
        frames: the study.
        ranked: the result of `rank`.
        searched: columns of the trials that are searched parameters.
        confirmed: the result of `sweeps.report.compare.confirmed.compare`.
    """
    if ranked.empty:
        return None
    row = ranked.iloc[0]
    if len(confirmed) and confirmed["seeds"].iloc[0] >= LEAST_SEEDS:
        row = ranked[ranked["trial"] == confirmed["trial"].iloc[0]].iloc[0]
    return Winner(
        trial=int(row["trial"]),
        state=row["state"],
        value=float(row[BEST + frames.objective]),
        epoch=int(row[BEST_EPOCH]),
        epochs=int(row["epochs"]),
        asked_epochs=int(row["asked_epochs"]),
        val_accuracy=float(row[VAL_ACCURACY]),
        test_accuracy=None if pd.isna(row[TEST_ACCURACY]) else float(row[TEST_ACCURACY]),
        params={str(name): it for name, it in row[[*searched]].dropna().to_dict().items()},
        command=train_command(row),
        run_id=row["run_id"],
    )


def by_optimizer(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, best first; see `sweeps.report.summary.Summary.by_optimizer`."""
    frame = count_states(frames.trials[frames.kind], frames.trials["state"])
    best = ranked.drop_duplicates(frames.kind).set_index(frames.kind)
    frame["best"] = best[BEST + frames.objective]
    for name in ("epochs", "asked_epochs"):
        frame[name] = best[name].astype("Int64").reindex(frame.index)
    complete = ranked[ranked["state"] == COMPLETE]
    values = complete.groupby(frames.kind)[BEST + frames.objective]
    frame["median"] = values.median()
    spread = values.quantile(0.75) - values.quantile(0.25)
    frame["spread"] = spread.where(values.count() > 1)  # missing for one trial
    return frame.reset_index().sort_values(
        "best", ascending=not frames.maximize, kind="stable", ignore_index=True
    )


def count_states(values: pd.Series[Any], states: pd.Series[str]) -> pd.DataFrame:
    """Number of trials per value, as n, and per state."""
    counts = pd.crosstab(values, states).reindex(columns=[*STATES], fill_value=0)
    counts.insert(0, "n", counts.sum(axis=1))
    return counts.rename_axis(columns=None)
