"""The ranking of a study's trials, the winner, and statistics by optimizer."""

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
from sweeps.search.objectives import SECOND_OBJECTIVES, SECONDS
from trainer.metrics import EPOCH_SECONDS, OBJECTIVES, RUNNING_LOSS, TEST_ACCURACY, VAL_ACCURACY
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
"""States of trials that count by what they have reached: where little is expected of
their last epochs, few are trained to their end."""

STATES = (*RANKED, DIVERGED, FAILED)
"""All of them, those with results first."""

LEAST_COMPLETE = 10
"""Complete trials, of fewer of which importances of parameters are not told."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best trial.

    The best trial confirmed by enough seeds, if any; else the best ranked one, whether or not it
    was trained to its end.

    Attributes:
        trial: its number.
        state: one of `RANKED`.
        value: the best value of the objective over its epochs.
        epoch: of that value, from 1.
        epochs: number of epochs trained.
        asked_epochs: number of epochs of a complete trial with its settings.
        val_accuracy: share of validation images classified correctly after that epoch, 0 to 1.
        test_accuracy: the same for the test images; None if not measured.
        params: searched parameters by name: optimizer, lr, step_size, gamma, arguments of the
            optimizer, and everything else that differs between trials.
        command: trains it again.
        run_id: MLflow's.
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
    """The trials that have a result and neither diverged nor failed, best first, ties by number.

    Returns:
        Rows of `frames.trials`; `best_OBJECTIVE` and `best_epoch` are computed from the curves, as
        not every objective has its best value logged, and `val_accuracy` is that of this epoch.
    """
    name, ascending = BEST + frames.objective, [not OBJECTIVES[frames.objective], True]
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
    """The ranked trials without duplicates: trials whose best epoch is the same shared epoch.

    Of such trials the best ranked one is kept.
    """
    until = frames.curves.merge(ranked[["trial", "optimizer", BEST_EPOCH]], on="trial")
    until = until[until["epoch"] <= until[BEST_EPOCH]]
    metrics = [*dict.fromkeys((frames.objective, RUNNING_LOSS, "lr"))]
    curves = until.pivot(index=["trial", "optimizer"], columns="epoch", values=metrics)
    curves = curves.reset_index("optimizer").reindex(ranked["trial"])
    return ranked[~curves.duplicated().to_numpy()]


def with_second(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """The ranked trials with the second objective's value in `second_column`."""
    name = frames.second
    of_trials = frames.curves.groupby("trial")[EPOCH_SECONDS if name == SECONDS else name]
    if name == SECONDS:
        values = of_trials.sum()
    else:
        values = of_trials.max() if OBJECTIVES[name] else of_trials.min()
    return ranked.assign(**{second_column(name): ranked["trial"].map(values)})


def pareto_front(trials: pd.DataFrame, objectives: Mapping[str, bool]) -> pd.Series[bool]:
    """The Pareto front: trials that no other dominates.

    Args:
        trials: one row each.
        objectives: one or two columns, and whether higher is better.

    Returns:
        Bool mask with the index of `trials`; equal trials are all on the front, and trials that
        lack a value are not.
    """
    signs = [1 if more else -1 for more in objectives.values()]
    values = trials[list(objectives)].to_numpy(float) * signs
    order = np.lexsort((-values[:, -1], -values[:, 0]))  # sorted by the first, then the second
    order = order[~np.isnan(values[order]).any(axis=1)]
    first, second = values[order, 0], values[order, -1]
    starts = np.ones(len(order), bool)  # among ties in the first
    starts[1:] = first[1:] != first[:-1]
    group, best = np.cumsum(starts) - 1, second[starts]
    before = np.full(len(best), np.nan)  # best second value of trials better in the first
    before[1:] = np.maximum.accumulate(best)[:-1]
    front = np.zeros(len(trials), bool)
    front[order] = ((second == best[group]) & ~(best <= before)[group]) if len(order) else False
    return pd.Series(front, index=trials.index, dtype="bool")


def find_front(frames: StudyFrames, ranked: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front of the ranked trials, sorted by the first objective.

    Returns:
        Rows of `ranked` with the second objective in `second_column`; empty for one objective.
    """
    if not frames.second:
        return ranked.head(0)
    first, second = BEST + frames.objective, second_column(frames.second)
    both = with_second(frames, ranked)
    more = {first: OBJECTIVES[frames.objective], second: SECOND_OBJECTIVES[frames.second]}
    return both[pareto_front(both, more)]


def second_column(name: str) -> str:
    """Name of the column of the second objective."""
    return SECONDS if name == SECONDS else BEST + name


def find_winner(
    frames: StudyFrames, ranked: pd.DataFrame, searched: Sequence[str], confirmed: pd.DataFrame
) -> Winner | None:
    """The best confirmed trial, else the best ranked one.

    Args:
        frames: the study.
        ranked: result of `rank`.
        searched: columns of the trials that are its `params`.
        confirmed: see `sweeps.report.compare.confirmed.compare`.

    Returns:
        None if no trial is ranked.
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
    more = OBJECTIVES[frames.objective]
    states = pd.crosstab(frames.trials["optimizer"], frames.trials["state"])
    frame = states.reindex(columns=[*STATES], fill_value=0)
    frame.insert(0, "n", states.sum(axis=1))
    best = ranked.drop_duplicates("optimizer").set_index("optimizer")
    frame["best"] = best[BEST + frames.objective]
    for name in ("epochs", "asked_epochs"):
        frame[name] = best[name].astype("Int64").reindex(frame.index)
    complete = ranked[ranked["state"] == COMPLETE]
    values = complete.groupby("optimizer")[BEST + frames.objective]
    frame["median"] = values.median()
    spread = values.quantile(0.75) - values.quantile(0.25)
    frame["spread"] = spread.where(values.count() > 1)  # undefined for one trial
    frame = frame.rename_axis(columns=None).reset_index()
    return frame.sort_values("best", ascending=not more, kind="stable", ignore_index=True)
