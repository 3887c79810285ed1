"""Objectives: a metric at its best epoch, and optionally a second metric or the training time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.metrics import (
    EPOCH_SECONDS,
    FIRST_BATCH_LOSS,
    IMAGES_PER_SECOND,
    OBJECTIVES,
    RUNNING_LOSS,
    VAL_ACCURACY,
    EpochResult,
    best,
    is_maximized,
)

SECONDS = "seconds"

SECOND_OBJECTIVES = {**OBJECTIVES, SECONDS: False}
"""Second objectives of the built-in training, and whether higher is better: a metric, or the
training time of all epochs of a trial, reused ones included."""

UNKNOWN_LOSS = 1e6
"""Penalty of a run whose first batch already had no finite loss."""


def value_of(results: Sequence[EpochResult], objective: str, maximize: bool | None = None) -> float:
    """Value of an objective for a run with at least one epoch."""
    if objective == SECONDS:
        return sum(result.epoch_seconds for result in results)
    return best(results, objective, maximize).values[objective]


def penalty_of(
    results: Sequence[EpochResult],
    objective: str,
    epochs: int,
    batch: int,
    maximize: bool | None = None,
) -> float:
    """Penalty value of a diverged run, for samplers that need a number.

    It is the value before training: a much larger number teaches a sampler nothing more, and hides
    the differences between the others. Measured with GPSampler on a function like a sweep's, four
    seeds of 40 trials: with the first batch's loss as penalty the best value was within 0.001 of
    the optimum, with ten times that within 0.1.

    Args:
        results: results of the run's epochs, at least one.
        objective: a name in `SECOND_OBJECTIVES`, or a metric of the user's.
        epochs: target number of epochs of the run.
        batch: images per batch.
        maximize: whether a higher objective is better; None: as `OBJECTIVES` says.
    """
    first = results[0].values
    if objective == SECONDS:
        return value_of(results, SECONDS) / len(results) * epochs
    if FIRST_BATCH_LOSS not in first or objective not in OBJECTIVES:
        finite = [it.values[objective] for it in results if math.isfinite(it.values[objective])]
        worst = -UNKNOWN_LOSS if is_maximized(objective, maximize) else UNKNOWN_LOSS
        return finite[0] if finite else worst
    if objective == VAL_ACCURACY:
        return 0.0
    loss = first[FIRST_BATCH_LOSS] if math.isfinite(first[FIRST_BATCH_LOSS]) else UNKNOWN_LOSS
    images = round(first[IMAGES_PER_SECOND] * first[EPOCH_SECONDS])
    return loss * math.ceil(images / batch) if objective == RUNNING_LOSS else loss
