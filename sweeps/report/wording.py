"""The sentences and text tables of a report, shared by the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sweeps.report.across import across
from sweeps.report.compare.confirmed import LEAST_SEEDS, TIED
from sweeps.report.compare.ranking import LEAST_COMPLETE, STATES
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import counted, duration, rounded, share, short
from sweeps.report.summary import Summary
from sweeps.space import SEARCHED
from trainer.metrics import TEST_ACCURACY, VAL_ACCURACY
from trainer.settings.references import is_reference
from trainer.tracking.record import BEST, BEST_EPOCH, COMPLETE

ACCURACY = "accuracy"
"""Column of the validation accuracy at the best epoch."""


def headlines(summary: Summary) -> Iterable[str]:
    """The study, its numbers of trials and epochs, and its time."""
    kind = "highest" if summary.maximize else "lowest"
    yield f"study {summary.study}: the {kind} {summary.objective} of a trial's epochs wins"
    if summary.second:
        kind = "highest" if summary.maximize_second else "lowest"
        yield f"second objective: the {kind} {summary.second}"
    counts = ", ".join(f"{n} {state}" for state, n in summary.counts.items())
    yield f"trials: {summary.trials} of {summary.asked} requested" + (counts and f": {counts}")
    reused = share(summary.reused_epochs, summary.epochs)
    yield f"epochs: {summary.epochs} requested, {summary.trained_epochs} trained; reused {reused}"
    if summary.spared_epochs or summary.reused_epochs:
        yield (
            f"saved: {summary.spared_epochs} epochs ({duration(summary.spared_seconds)} of "
            f"training) by stopping trials early, {summary.reused_epochs} "
            f"({duration(summary.reused_seconds)}) by reuse"
        )
    if summary.retrained_epochs:
        yield (
            f"trained again: {summary.retrained_epochs} epochs, whose states had been evicted "
            "(a larger --state-budget keeps them)"
        )
    if summary.target is not None:
        goal = f"target: {summary.objective} {short(summary.target)}"
        if summary.epochs_to_target is None:
            yield f"{goal} is not reached"
        else:
            epochs, seconds = counted(summary.epochs_to_target), summary.seconds_to_target or 0
            yield f"{goal} reached after {epochs}, {duration(seconds)} of training"
    if summary.seconds is not None:
        yield f"wall time: {duration(summary.seconds)}"


def winner_line(summary: Summary) -> str:
    """The best trial in one line; "" if no trial has a result."""
    won = summary.winner
    if won is None:
        return ""
    state = won.state
    if state != COMPLETE:
        state += f" after {won.epochs} of {won.asked_epochs} epochs"
    lead = "best so far" if summary.is_open else "winner"
    text = f"{lead}: trial {won.trial} ({state}), {summary.objective} {short(won.value)}"
    accuracies = {TEST_ACCURACY: won.test_accuracy}
    if summary.objective != VAL_ACCURACY:
        accuracies = {VAL_ACCURACY: won.val_accuracy, **accuracies}
    known = {name: short(value) for name, value in accuracies.items()}
    text += "".join(f", {name} {value}" for name, value in known.items() if value)
    return f"{text} at epoch {won.epoch}"


def confirmed_line(summary: Summary) -> str:
    """The best repeated trial, and the trials tied with it; "" without repeats."""
    if summary.confirmed.empty:
        return ""
    best = summary.confirmed.iloc[0]
    spread = "" if pd.isna(best["std"]) else f" (standard deviation {rounded(best['std'])})"
    seeds = "1 other seed" if best["seeds"] == 1 else f"{best['seeds']} other seeds"
    tied = summary.confirmed.loc[summary.confirmed["verdict"] == TIED, "trial"]
    others = "no other is tied with it"
    if len(tied):
        which = "trial" if len(tied) == 1 else "trials"
        others = f"{which} {', '.join(map(str, tied))} tied with it"
    elif best["seeds"] < LEAST_SEEDS:
        others = f"too few seeds to compare trials: --repeats {LEAST_SEEDS} or more"
    return (
        f"confirmed: from {seeds} trial {best['trial']} has a mean {summary.objective} of "
        f"{rounded(best['mean'])}{spread}; {others}"
    )


def importance_line(summary: Summary) -> str:
    """Why there are no importances; "" if there are."""
    complete = summary.counts.get(COMPLETE, 0)
    if complete >= LEAST_COMPLETE or summary.winner is None:
        return ""
    are = "is" if complete == 1 else "are"
    return (
        f"The importance of parameters needs {LEAST_COMPLETE} complete trials, but there {are} "
        f"{complete}."
    )


def comparison_tables(summary: Summary) -> Iterable[tuple[str, pd.DataFrame]]:
    """Titles and text tables of a comparison: the best trial of each value, and its repeats."""
    if summary.comparison is None:
        return
    parameter, values = summary.comparison.parameter, summary.comparison.values
    counts = ["n", *(name for name in STATES if values[name].any())]
    best = values[["value", "trial", "best"]].map(short)
    best["epochs"] = _epochs(values)
    best["settings"] = [
        "" if pd.isna(trial) else settings_line(params).replace("  ", " ")
        for trial, params in zip(values["trial"], values["params"], strict=True)
    ]
    best = best.join(values[counts].map(short))
    yield f"Best trial of each {parameter}", best.rename(columns={"value": parameter})
    if not values["seeds"].any():
        return
    seeds = values[["value", "verdict", "seeds"]].map(short)
    seeds["mean (95 %)"] = _with_interval(values, "mean", "low", "high", digits=4)
    ends = ("difference_low", "difference_high")
    seeds["difference (95 %)"] = _with_interval(values, "difference", *ends, digits=3)
    yield f"Its {summary.objective} from other seeds", seeds.rename(columns={"value": parameter})


def settings_line(params: Mapping[str, Any]) -> str:
    """Names and values of parameters in one line."""
    return "  ".join(f"{name}={short(value)}" for name, value in params.items())


def tables(summary: Summary) -> Iterable[tuple[str, pd.DataFrame]]:
    """Titles and text tables of a summary."""
    if len(summary.top):
        count = f"{len(summary.top)} of {summary.ranked} ranked trials"
        if summary.results < summary.ranked:  # some trials share their best epoch
            count = f"{len(summary.top)} of {summary.results} results of {summary.ranked} trials"
        yield f"Best {count}, by {summary.objective}", _listed(summary, summary.top)
    compared = set() if summary.comparison is None else set(summary.comparison.values["trial"])
    if not compared.issuperset(summary.confirmed["trial"]):
        yield "Trained again from other seeds, by mean", _compared(summary.confirmed)
    if len(summary.front):
        both = f"{summary.objective} and {summary.second}"
        yield f"Pareto front of {both}", _listed(summary, summary.front)
    if len(summary.by_optimizer) and "optimizer" in summary.by_optimizer:
        names = {"median": "median", "spread": "spread (interquartile range)"}
        table = _optimizers(summary)
        shown = ", ".join(text for name, text in names.items() if name in table)
        yield f"By optimizer{f'; {shown} of complete trials' if shown else ''}", table


def _optimizers(summary: Summary) -> pd.DataFrame:
    """The table by optimizer without empty columns, which keeps it within 80 characters."""
    frame = summary.by_optimizer
    texts = frame.map(_brief).assign(epochs=_epochs(frame)).drop(columns="asked_epochs")
    absent = [name for name in STATES if not frame[name].any()]
    empty = [name for name in ("median", "spread") if frame[name].isna().all()]
    return texts.drop(columns=[*absent, *empty])


def _epochs(trials: pd.DataFrame) -> pd.Series[str]:
    """Trained and requested epochs, as "9/20"."""
    texts = trials["epochs"].map(short) + "/" + trials["asked_epochs"].map(short)
    return texts.where(trials["epochs"].notna(), "")


def _listed(summary: Summary, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials; all but the usual parameters share a column, which keeps it in 80 characters."""
    texts = trials.drop(columns="asked_epochs").map(_brief)
    if VAL_ACCURACY in trials and trials[VAL_ACCURACY].isna().all():  # of a regression
        texts = texts.drop(columns=VAL_ACCURACY)
    texts["epochs"] = _epochs(trials)
    names = {BEST + summary.objective: "best", BEST_EPOCH: "at", "step_size": "step"}
    names |= {VAL_ACCURACY: ACCURACY}
    columns = list(texts.columns)
    searched = [name for name in SEARCHED if name in columns]
    plain = [*columns[: columns.index("epochs") + 1], *searched]
    others = texts.drop(columns=plain).to_dict("records")
    shown = texts[plain].rename(columns=names)
    settings = [" ".join(f"{name}={it}" for name, it in row.items() if it) for row in others]
    return shown.assign(settings=settings) if others[0] else shown


def _compared(confirmed: pd.DataFrame) -> pd.DataFrame:
    """The repeated trials compared with the best one."""
    numbers = confirmed[["mean", "std", "difference"]].map(rounded)
    low, high = confirmed["low"].map(rounded), confirmed["high"].map(rounded)
    counts = confirmed[["trial", "seeds", "diverged"]].astype("str")
    shown = pd.concat([counts, numbers], axis=1)
    shown["95 %"] = (low + " to " + high).where(confirmed["low"].notna(), "")
    shown["verdict"] = confirmed["verdict"]
    return shown.drop(columns=[] if confirmed["diverged"].any() else ["diverged"])


def _with_interval(
    values: pd.DataFrame, name: str, low: str, high: str, *, digits: int
) -> pd.Series[str]:
    texts = values[[name, low, high]].map(rounded, digits=digits)
    interval = " (" + texts[low] + " to " + texts[high] + ")"
    return texts[name] + interval.where(values[low].notna(), "")


def beside(studies: Sequence[StudyFrames]) -> pd.DataFrame:
    """The table of `across` as texts, one column per study.

    Raises:
        SweepError: they cannot be compared.
    """
    return across(studies).set_index("study").T.reset_index(names="").map(short)


def next_commands(summary: Summary) -> Iterable[tuple[str, str]]:
    """Titles and commands of what a user may do next."""
    yield "See every epoch of it", summary.view
    if summary.follow:
        yield "Write this space to a file, and print the command that searches it", summary.follow
    if summary.winner is not None:
        winner, which = summary.winner, "best so far" if summary.is_open else "winner"
        to_its_end = f", to all its {winner.asked_epochs} epochs"
        yield (
            f"Train the {which} again{to_its_end * (winner.epochs < winner.asked_epochs)}",
            winner.command,
        )


def _brief(value: Any) -> str:
    """As `short`; a reference to user code is shortened to its last name, to save width."""
    text = short(value)
    return text.rpartition(":")[2] if is_reference(text) else text
