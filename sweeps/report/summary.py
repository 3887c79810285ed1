"""`Summary`: winner, best trials, statistics and warnings of a study, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sweeps.report.advice.advice import Advice
from sweeps.report.advice.advisor import advise
from sweeps.report.compare.comparison import Comparison, compare_values
from sweeps.report.compare.confirmed import compare
from sweeps.report.compare.importance import importances
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
from sweeps.report.reading.command import advised_command, next_command, train_command
from sweeps.report.reading.frames import StudyFrames
from sweeps.space import SEARCHED
from sweeps.space.described import is_function
from trainer.metrics import EPOCH_SECONDS, OBJECTIVES, VAL_ACCURACY
from trainer.tracking.record import BEST, BEST_EPOCH, COMPLETE, DIVERGED, PRUNED, SUSPENDED

__all__ = ["Summary", "summarize", "train_command"]

TOP = 10
"""How many of the best trials a summary shows."""

PAUSE_SECONDS = 300.0
"""In so long a time in which nothing is trained a study was not at work."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """The results of a study.

    Attributes:
        study: its name.
        objective: the metric that trials are judged by, each at its best epoch.
        second: the second objective; "": none.
        maximize: whether higher values of the objective are better.
        asked: target number of trials.
        trials: number of trials, in any state.
        counts: number of trials by state, most frequent first.
        winner: None until a trial has a result.
        ranked: number of trials with a finite best value that neither diverged nor failed.
        results: number of distinct results of these: trials that share their best epoch have one.
        top: the `TOP` best distinct results, best first, one trial each: its number, state, best
            value, epoch of that value, validation accuracy at that epoch, epochs trained and
            requested, and the columns named by `Winner.params`.
        confirmed: comparison of the trials that were repeated with other seeds, best first; see
            `sweeps.report.compare.confirmed.compare`. Empty if none were.
        comparison: of the values of the parameter given by --compare; None without it.
        front: with two objectives, the Pareto front of the ranked trials, sorted by the first; the
            columns of `top`, with the second objective after the first. Empty with one objective.
        by_optimizer: one row per optimizer, best first: n (its trials), the number in each state
            (see `STATES`); the best value of its ranked trials, with the epochs that this trial
            trained and was requested to train; median and spread (first to third quartile) of its
            complete trials, missing if none is complete, as values of trials that stopped early are
            not comparable.
        epochs: number of epochs requested from the trainer, over all trials.
        trained_epochs: of these, the trained ones.
        reused_epochs: of these, those first trained for another trial or study.
        retrained_epochs: number of epochs trained again because their states had been evicted.
        spared_epochs: number of further epochs if every trial were trained to its end.
        reused_seconds: training time of the reused epochs when they were first trained.
        spared_seconds: training time of the spared epochs, at the mean epoch duration of each
            trial.
        seconds: from the first start to the last end, confirmation included, without pauses of
            more than `PAUSE_SECONDS`; None before any trial ended.
        is_open: whether a trial is still to begin or to end.
        view: the command or address that shows the study in a browser.
        notes: warnings, to read before relying on the winner.
        importances: of each parameter among the complete trials, 0 to 1, highest first; see
            `sweeps.report.compare.importance`.
        advice: what to try next.
        follow: the command that writes a space with all advice applied, and prints how to search
            it; "": no change of the space is advised, or the space is not a file.
    """

    study: str
    objective: str
    second: str = ""
    maximize: bool
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
    seconds: float | None
    is_open: bool
    view: str
    notes: tuple[str, ...]
    importances: Mapping[str, float]
    advice: tuple[Advice, ...]
    follow: str


def summarize(frames: StudyFrames) -> Summary:
    """Summarize a study, finished or not."""
    trials, curves = frames.trials, frames.curves
    ranked, searched = rank(frames), searched_columns(trials)
    results = distinct(frames, ranked)
    confirmed = compare(frames.repeats, frames.objective)
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
    return Summary(
        study=frames.name,
        objective=frames.objective,
        second=frames.second,
        maximize=OBJECTIVES[frames.objective],
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
        seconds=_seconds(frames),
        is_open=len(trials) < frames.asked or not {*OPEN}.isdisjoint(trials["state"]),
        view=frames.view,
        notes=tuple(notes_on(frames, ranked, winner)),
        importances=known,
        advice=advice,
        follow=_follow(frames, advice),
    )


def searched_columns(trials: pd.DataFrame) -> list[str]:
    """Columns of searched parameters, and of fields and arguments that differ."""
    searched = [name for name in SEARCHED if trials.empty or trials[name].notna().any()]
    others = [name for name in CONFIG_COLUMNS.values() if name in trials]
    others += arguments(trials.columns)
    varied = [name for name in others if trials[name].nunique(dropna=False) > 1]
    return list(dict.fromkeys((*searched, *varied)))


def _follow(frames: StudyFrames, advice: Sequence[Advice]) -> str:
    is_file = bool(frames.space) and not is_function(frames.space)
    return next_command(frames) if is_file and any(item.changes for item in advice) else ""


def _spared(frames: StudyFrames) -> pd.Series[int]:
    """Per trial that ended early, the number of epochs it was not trained."""
    states = (PRUNED, SUSPENDED, DIVERGED)
    stopped = frames.trials[frames.trials["state"].isin(states)].set_index("trial")
    return stopped["asked_epochs"] - stopped["epochs"].astype("int64")


def _seconds(frames: StudyFrames) -> float | None:
    """Time of work: from starts and ends of runs and epochs, without pauses."""
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
