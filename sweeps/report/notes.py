"""Warnings about a study: what to know before relying on its winner."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from sweeps.report.compare.confirmed import seed_noise
from sweeps.report.compare.ranking import OPEN, Winner
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import share, size
from sweeps.search.names import FRUGAL_PRUNER
from sweeps.search.settling import LEAST_TRIALS, late_gain
from trainer.metrics import OBJECTIVES
from trainer.tracking.record import BEST, DIVERGED, FAILED, PRUNED, SUSPENDED

_LATE = 0.25  # of the trials, whose improvement predicts that of as many more


def notes_on(frames: StudyFrames, ranked: pd.DataFrame, winner: Winner | None) -> Iterable[str]:
    """Warnings about the study, one sentence each.

    Args:
        frames: the study.
        ranked: result of `sweeps.report.compare.ranking.rank`.
        winner: the best of these.
    """
    trials = frames.trials
    if len(trials) < frames.asked:
        yield f"Of {frames.asked} trials requested, {len(trials)} were begun."
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
    if winner is not None and winner.state not in OPEN:
        yield from _on_more_trials(frames, ranked)


def _on_more_trials(frames: StudyFrames, ranked: pd.DataFrame) -> Iterable[str]:
    """The improvement to expect from doubling the trials; for one objective."""
    is_open = len(frames.trials) < frames.asked or frames.trials["state"].isin(OPEN).any()
    count = len(frames.trials)
    if is_open or frames.second or frames.compare or count < LEAST_TRIALS:
        return  # a comparison has its own sentences on this
    values = ranked.set_index("trial")[BEST + frames.objective].reindex(frames.trials["trial"])
    maximize = OBJECTIVES[frames.objective]
    gain = late_gain(values.to_list(), 1 - _LATE, maximize=maximize)
    if math.isinf(gain):
        return  # all trials with a value are late
    noise = seed_noise(frames.repeats)
    late = count - int((1 - _LATE) * count)
    did, more, varies = "did not improve", "little improvement", ""
    if gain > 0:
        did, more = f"improved by {size(100 * gain)} %", "about as much"
        if noise is not None:
            than = "less than" if gain < noise else "more than"
            varies = f", {than} one configuration varies by between seeds ({size(100 * noise)} %)"
    yield (
        f"The best {frames.objective} {did} in the last {late} of {count} trials{varies}; from "
        f"{count} more expect {more}."
    )
