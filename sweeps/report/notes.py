"""Notes on a study: what to know before its winner is believed."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.report.compare.ranking import OPEN, Winner
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.names import FRUGAL_PRUNER
from trainer.record import DIVERGED, FAILED, PRUNED, SUSPENDED


def notes_on(frames: StudyFrames, winner: Winner | None) -> Iterable[str]:
    """Sentences on the study."""
    trials = frames.trials
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
    left = trials[trials["state"] == PRUNED]
    if len(left) and frames.settings.get("pruner") == FRUGAL_PRUNER:
        yield (
            f"Pruned trials: {share(len(left), len(trials))}; less was expected of their next "
            "epochs than of other trials."
        )
    waiting = trials[trials["state"] == SUSPENDED]
    if len(waiting):
        yield (
            f"Suspended trials: {share(len(waiting), len(trials))}; each goes on if its next "
            "epochs are expected to gain most."
        )
    if winner is None:
        yield "No trial has a result yet, so none is ranked."
    elif winner.state in OPEN:
        yield "The best trial may still be trained further, so nothing is advised yet."
    elif winner.state == PRUNED and winner.epoch == winner.epochs < winner.asked_epochs:
        yield (
            f"The winner's best epoch is the last of the {winner.epochs} that it trained, so the "
            f"other {winner.asked_epochs - winner.epochs} may still better it: train it to its end."
        )


def share(part: int, whole: int) -> str:
    """How many of how many, and that in percent; only nothing is 0 % and only all is 100 %."""
    if not whole:
        return "0 of 0"
    percent = 100 * part / whole
    shown = "<1" if 0 < percent < 1 else ">99" if 99 < percent < 100 else f"{percent:.0f}"
    return f"{part} of {whole} ({shown} %)"
