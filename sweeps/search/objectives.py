"""Objectives: a metric at its best epoch, and optionally a second metric or the training time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.metrics import OBJECTIVES, RUNNING_LOSS, VAL_ACCURACY, EpochResult, best

SECONDS = "seconds"

SECOND_OBJECTIVES = {**OBJECTIVES, SECONDS: False}
"""Second objectives, and whether higher is better: a metric, or the training time of all epochs of
a trial, reused ones included."""

UNKNOWN_LOSS = 1e6
"""Penalty of a run whose first batch already had no finite loss."""


def value_of(results: Sequence[EpochResult], objective: str) -> float:
    """Value of an objective for a run with at least one epoch."""
    if objective == SECONDS:
        return sum(result.epoch_seconds for result in results)
    return best(results, objective).metrics()[objective]


def penalty_of(results: Sequence[EpochResult], objective: str, epochs: int, batch: int) -> float:
    """Penalty value of a diverged run, for samplers that need a number.

    It is the value before training: a much larger number teaches a sampler nothing more, and hides
    the differences between the others. Measured with GPSampler on a function like a sweep's, four
    seeds of 40 trials: with the first batch's loss as penalty the best value was within 0.001 of
    the optimum, with ten times that within 0.1.

    Args:
        results: results of the run's epochs, at least one.
        objective: a name in `SECOND_OBJECTIVES`.
        epochs: target number of epochs of the run.
        batch: images per batch.
    """
    first = results[0]
    if objective == SECONDS:
        return value_of(results, SECONDS) / len(results) * epochs
    if objective == VAL_ACCURACY:
        return 0.0
    loss = first.first_batch_loss if math.isfinite(first.first_batch_loss) else UNKNOWN_LOSS
    images = round(first.images_per_second * first.epoch_seconds)
    return loss * math.ceil(images / batch) if objective == RUNNING_LOSS else loss
