"""The summary of a study: winner, best trials, comparisons, notes and advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sweeps.report.advice.advice import Advice
from sweeps.report.advice.advisor import advise
from sweeps.report.compare.comparison import Comparison, compare_values
from sweeps.report.compare.confirmed import compare
from sweeps.report.compare.importance import importances
from sweeps.report.compare.progress import best_so_far, reached
from sweeps.report.compare.ranking import (
    OPEN,
    Winner,
    by_optimizer,
    distinct,
    find_front,
    find_winner,
    rank,
    second_column,
)
from sweeps.report.notes import notes_on
from sweeps.report.reading.columns import CONFIG_COLUMNS, arguments
from sweeps.report.reading.command import advised_command, next_command
from sweeps.report.reading.frames import StudyFrames
from sweeps.space import SEARCHED
from sweeps.space.described import is_function
from trainer.metrics import EPOCH_SECONDS, VAL_ACCURACY
from trainer.tracking.record import BEST, BEST_EPOCH, COMPLETE, DIVERGED, PRUNED, SUSPENDED

TOP = 10
"""Number of best trials in a summary."""

PAUSE_SECONDS = 300.0
"""Longer gaps without training are not counted as time of the study."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """The results of a study.

    Attributes:
        study: name of the study.
        objective: metric by which trials are judged, at their best epoch.
        second: second objective; "": none.
        maximize: whether larger values of the objective are better.
        maximize_second: the same of the second objective.
        asked: target number of trials.
        trials: number of trials in any state.
        counts: number of trials by state, largest first.
        winner: the best trial; None until a trial has a result.
        ranked: number of trials with a finite best value that did not diverge or fail.
        results: number of distinct results among these; trials may share their best epoch.
        top: the `TOP` best distinct results, best first. One row per trial: trial, state, best
            value, validation accuracy after the best epoch, best epoch, epochs, asked_epochs, and
            the searched parameters.
        confirmed: comparison of the repeated trials, best first; no rows without repeats. See
            `sweeps.report.compare.confirmed.compare`.
        comparison: comparison of the values of a parameter, if the study compares one.
        front: with two objectives the Pareto front of the ranked trials, best first; rows as in
            `top`, with the second objective after the first. Else no rows.
        by_optimizer: one row per optimizer, best first: n (number of trials), one count per state
            in `STATES`, the best value of all ranked trials, epochs and asked_epochs of that trial,
            median and spread (interquartile range) of the complete trials' values.
        epochs: number of epochs requested over all trials.
        trained_epochs: number of these that were trained for the trial itself.
        reused_epochs: number of these that had been trained for another trial or study.
        retrained_epochs: number of epochs trained again because their states had been evicted.
        spared_epochs: number of epochs that stopped trials would need to be complete.
        reused_seconds: training time of the reused epochs.
        spared_seconds: estimated training time of the spared epochs, from the average of each
            trial's own epochs.
        target: value of the objective with which the study was to end; None: none.
        epochs_to_target: epochs requested until a trial reached it; None: none did.
        seconds_to_target: training time of these epochs.
        seconds: time from the first start to the last end, confirmation included, without pauses of
            more than `PAUSE_SECONDS`; None before the first trial.
        is_open: whether trials have yet to start or to end.
        view: command or address that shows the study in a browser.
        notes: sentences with reasons for caution.
        importances: importance of each parameter among the complete trials, 0 to 1, largest first;
            see `sweeps.report.compare.importance`.
        advice: what to try next.
        follow: command that writes the advised search space to a file, and prints the command that
            searches it; "": no change is advised, or the space is not a file.
    """

    study: str
    objective: str
    second: str = ""
    maximize: bool
    maximize_second: bool = False
    asked: int
    trials: int
    counts: Mapping[str, int]
    winner: Winner | None
    ranked: int
    results: int
    top: pd.DataFrame
    confirmed: pd.DataFrame
    comparison: Comparison | None
    front: pd.DataFrame
    by_optimizer: pd.DataFrame
    epochs: int
    trained_epochs: int
    reused_epochs: int
    retrained_epochs: int
    spared_epochs: int
    reused_seconds: float
    spared_seconds: float
    target: float | None
    epochs_to_target: int | None
    seconds_to_target: float | None
    seconds: float | None
    is_open: bool
    view: str
    notes: tuple[str, ...]
    importances: Mapping[str, float]
    advice: tuple[Advice, ...]
    follow: str


def summarize(frames: StudyFrames) -> Summary:
    """Summarize a study in any state."""
    trials, curves = frames.trials, frames.curves
    ranked, searched = rank(frames), searched_columns(trials)
    results = distinct(frames, ranked)
    confirmed = compare(frames.repeats, maximize=frames.maximize)
    complete = ranked[ranked["state"] == COMPLETE]
    known = importances(frames, complete, searched)
    winner = find_winner(frames, ranked, searched, confirmed)
    shown = [
        "trial",
        "state",
        BEST + frames.objective,
        *([VAL_ACCURACY] if frames.objective != VAL_ACCURACY else []),
        BEST_EPOCH,
        "epochs",
        "asked_epochs",
        *searched,
    ]
    both = [*shown[:3], *([second_column(frames.second)] if frames.second else []), *shown[3:]]
    found = () if winner is None else advise(frames, ranked, winner, confirmed, known)
    advice = tuple(
        replace(it, command=advised_command(frames, it.flags)) if it.flags else it for it in found
    )
    reused = int(curves["reused"].sum())
    spared = _spared(frames)
    to_target = _to_target(frames)
    return Summary(
        study=frames.name,
        objective=frames.objective,
        second=frames.second,
        maximize=frames.maximize,
        maximize_second=bool(frames.second) and frames.is_maximized(frames.second),
        asked=frames.asked,
        trials=len(trials),
        counts={str(state): n for state, n in trials["state"].value_counts().items()},
        winner=winner,
        ranked=len(ranked),
        results=len(results),
        top=results[shown].head(TOP).reset_index(drop=True),
        confirmed=confirmed,
        comparison=compare_values(frames, ranked, searched),
        front=find_front(frames, ranked)[both].reset_index(drop=True),
        by_optimizer=by_optimizer(frames, ranked),
        epochs=len(curves),
        trained_epochs=len(curves) - reused,
        reused_epochs=reused,
        retrained_epochs=int(trials["retrained_epochs"].sum()),
        spared_epochs=int(spared.sum()),
        reused_seconds=float(curves.loc[curves["reused"], EPOCH_SECONDS].sum()),
        spared_seconds=float((spared * curves.groupby("trial")[EPOCH_SECONDS].mean()).sum()),
        target=frames.target,
        epochs_to_target=int(to_target["epochs"].iloc[0]) if len(to_target) else None,
        seconds_to_target=float(to_target["seconds"].iloc[0]) if len(to_target) else None,
        seconds=_seconds(frames),
        is_open=len(trials) < frames.asked or not {*OPEN}.isdisjoint(trials["state"]),
        view=frames.view,
        notes=tuple(notes_on(frames, ranked, winner)),
        importances=known,
        advice=advice,
        follow=_follow(frames, advice),
    )


def searched_columns(trials: pd.DataFrame) -> list[str]:
    """Columns of the default parameters, and of all others that differ between trials."""
    searched = [name for name in SEARCHED if trials.empty or trials[name].notna().any()]
    others = [name for name in CONFIG_COLUMNS.values() if name in trials]
    others += arguments(trials.columns)
    if "asked_epochs" in trials:  # of trials without a valid config most values are missing
        trials = trials[trials["asked_epochs"].notna()]
    varied = [name for name in others if trials[name].nunique(dropna=False) > 1]
    return list(dict.fromkeys((*searched, *varied)))


def _follow(frames: StudyFrames, advice: Sequence[Advice]) -> str:
    is_file = bool(frames.space) and not is_function(frames.space)
    return next_command(frames) if is_file and any(item.changes for item in advice) else ""


def _to_target(frames: StudyFrames) -> pd.DataFrame:
    """One row, the epochs and training time until a trial reached the target, or none."""
    if frames.target is None:
        return pd.DataFrame()
    return reached(best_so_far(frames), frames.target, maximize=frames.maximize)


def _spared(frames: StudyFrames) -> pd.Series[int]:
    """Number of remaining epochs of each stopped trial, by trial."""
    states = (COMPLETE, PRUNED, SUSPENDED, DIVERGED)  # with patience a complete one has some, too
    stopped = frames.trials[frames.trials["state"].isin(states)].set_index("trial")
    return stopped["asked_epochs"] - stopped["epochs"].astype("int64")


def _seconds(frames: StudyFrames) -> float | None:
    """Time from the first start to the last end of runs and epochs, without pauses."""
    own = frames.curves[~frames.curves["reused"]]
    runs = pd.concat([frames.trials, frames.repeats])[["started_at", "seconds"]]
    starts, ends = runs["started_at"], runs["started_at"] + _timedelta(runs["seconds"])
    began = pd.concat([starts, ends, own["ended_at"] - _timedelta(own[EPOCH_SECONDS])])
    spans = pd.DataFrame({"from": began, "to": pd.concat([starts, ends, own["ended_at"]])})
    spans = spans.dropna().sort_values("from")
    if spans.empty:
        return None
    gaps = (spans["from"] - spans["to"].cummax().shift()).dt.total_seconds()
    passed = (spans["to"].max() - spans["from"].min()).total_seconds()
    return float(passed - gaps[gaps > PAUSE_SECONDS].sum())


def _timedelta(seconds: pd.Series[float]) -> pd.Series[pd.Timedelta]:
    return pd.to_timedelta(seconds, unit="s")
