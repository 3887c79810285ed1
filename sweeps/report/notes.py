"""Notes on a study: reasons for caution about its result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sweeps.report.compare.confirmed import seed_noise
from sweeps.report.compare.ranking import OPEN, Winner
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import share, size
from sweeps.search.names import FRUGAL_PRUNER
from sweeps.search.settling import LEAST_TRIALS, late_gain
from trainer.tracking.record import BEST, DIVERGED, FAILED, PRUNED, SUSPENDED

TRAINS_ON_TEST = (
    "Trials train on the test images, as the tutorial does, and validate on training images. For "
    "values that can be compared with others' use --split train."
)

_LATE = 0.25  # share of the trials whose gain predicts that of further trials
_FEW = 3  # trials of an optimizer; fewer say little about it


def notes_on(frames: StudyFrames, ranked: pd.DataFrame, winner: Winner | None) -> Iterable[str]:
    """Sentences on failed, diverged, pruned and suspended trials, and on further trials.

    Args:
        frames: the study.
        ranked: the result of `sweeps.report.compare.ranking.rank`.
        winner: the best trial.
    """
    trials = frames.trials
    if trains_on_test(frames.settings):
        yield TRAINS_ON_TEST
    if len(trials) < frames.asked:
        yield f"Started trials: {share(len(trials), frames.asked)}."
    failed = trials[trials["state"] == FAILED]
    if len(failed):
        yield f"Failed trials: {share(len(failed), len(trials))}; MLflow has their tracebacks."
    diverged = trials[trials["state"] == DIVERGED]
    if len(diverged):
        low, high = diverged["lr"].min(), diverged["lr"].max()
        rates = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        where = "" if math.isnan(low) else f", at lr {rates}"
        yield f"Diverged trials: {share(len(diverged), len(trials))}{where}."
    left = trials[trials["state"] == PRUNED]
    if len(left) and frames.settings.get("pruner") == FRUGAL_PRUNER:
        yield (
            f"Pruned trials: {share(len(left), len(trials))}; they were expected "
            "to improve the best value less than other trials."
        )
    waiting = trials[trials["state"] == SUSPENDED]
    if len(waiting):
        yield (
            f"Suspended trials: {share(len(waiting), len(trials))}; the one that is expected "
            "to improve the best value most is resumed next."
        )
    if winner is None:
        yield "No trial has a result yet."
    elif winner.state in OPEN:
        yield "The best trial may still be trained further, so there is no advice yet."
    elif winner.state == PRUNED and winner.epoch == winner.epochs < winner.asked_epochs:
        yield (
            f"The winner's best epoch is the last of its {winner.epochs} epochs, so the remaining "
            f"{winner.asked_epochs - winner.epochs} may improve it: train it to its end."
        )
    if winner is not None and winner.state not in OPEN:
        yield from _on_optimizers(frames)
        yield from _on_more_trials(frames, ranked)


def trains_on_test(settings: Mapping[str, Any]) -> bool:
    """Whether trials with these settings train on test images; digits has none of its own."""
    is_builtin = not settings.get("trainable")
    return is_builtin and settings.get("split") == "test" and settings.get("dataset") != "digits"


def _on_optimizers(frames: StudyFrames) -> Iterable[str]:
    """Which optimizers had so few trials that these say little about them."""
    if frames.compare or frames.kind != "optimizer":
        return
    counts = frames.trials["optimizer"].value_counts(sort=False)
    few = [f"{name} ({n})" for name, n in counts.items() if n < _FEW]
    if few and counts.max() >= _FEW:
        yield f"Optimizers with so few trials that these say little about them: {', '.join(few)}."


def _on_more_trials(frames: StudyFrames, ranked: pd.DataFrame) -> Iterable[str]:
    """What to expect of as many trials again, for a study with one objective."""
    is_open = len(frames.trials) < frames.asked or frames.trials["state"].isin(OPEN).any()
    count = len(frames.trials)
    if is_open or frames.second or frames.compare or count < LEAST_TRIALS:
        return  # a comparison of values has its own sentences
    values = ranked.set_index("trial")[BEST + frames.objective].reindex(frames.trials["trial"])
    maximize = frames.maximize
    gain = late_gain(values.to_list(), 1 - _LATE, maximize=maximize)
    if math.isinf(gain):
        return  # no earlier trial has a value
    noise = seed_noise(frames.repeats)
    late = count - int((1 - _LATE) * count)
    did, more, varies = "did not improve", "little improvement", ""
    if gain > 0:
        did, more = f"improved by {size(100 * gain)} %", "about as much"
        if noise is not None:
            than = "less than" if gain < noise else "more than"
            varies = f", {than} the variation between seeds ({size(100 * noise)} %)"
    yield (
        f"The best {frames.objective} {did} in the last {late} of {count} trials{varies}; expect "
        f"{more} from {count} more."
    )
