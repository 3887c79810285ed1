"""Notes on a study: what to know before its winner is believed."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from sweeps.report.frames import StudyFrames
from sweeps.report.ranking import Winner
from trainer.record import BEST, DIVERGED, FAILED, PRUNED


def notes_on(frames: StudyFrames, ranked: pd.DataFrame, winner: Winner | None) -> Iterable[str]:
    """Sentences on the study; `ranked` is what `sweeps.report.ranking.rank` made of it."""
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
    first = ranked.iloc[0]
    if winner.state == PRUNED:
        yield "No trial is complete yet: the best pruned one stands in for the winner."
    elif first["trial"] != winner.trial:
        yield (
            f"Trial {first['trial']} was pruned after epoch {first['epochs']} though its {name}, "
            f"{first[name]:.6g}, is better than the winner's: train it to its end."
        )
    won = ranked[ranked["trial"] == winner.trial].iloc[0]
    if winner.epoch == won["epochs"]:
        yield f"The winner's best epoch, {winner.epoch}, is its last: train it for longer."
    tried = trials["lr"].dropna().unique()
    if len(tried) > 2 and won["lr"] in (tried.min(), tried.max()):
        end = "lowest" if won["lr"] == tried.min() else "highest"
        yield f"The winner's lr, {won['lr']:g}, is the {end} of {len(tried)} tried: try beyond it."


def share(part: int, whole: int) -> str:
    """How many of how many, and that in percent; only nothing is 0 % and only all is 100 %."""
    if not whole:
        return "0 of 0"
    percent = 100 * part / whole
    shown = "<1" if 0 < percent < 1 else ">99" if 99 < percent < 100 else f"{percent:.0f}"
    return f"{part} of {whole} ({shown} %)"
