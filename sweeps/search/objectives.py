"""What a sweep judges its trials by: a metric at its best epoch, and perhaps a second thing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.metrics import OBJECTIVES, RUNNING_LOSS, VAL_ACCURACY, EpochResult, best

SECONDS = "seconds"

SECOND_OBJECTIVES = {**OBJECTIVES, SECONDS: False}
"""What may come second, and whether more is better: a metric, or the seconds that all epochs of a
trial took to train, also where another trial had trained them."""

UNKNOWN_LOSS = 1e6
"""Stands for the loss of a run whose very first batch had none that is finite."""


def value_of(results: Sequence[EpochResult], objective: str) -> float:
    """The value of an objective over a run's epochs, of which there is at least one."""
    if objective == SECONDS:
        return sum(result.epoch_seconds for result in results)
    return best(results, objective).metrics()[objective]


def penalty_of(results: Sequence[EpochResult], objective: str, epochs: int, batch: int) -> float:
    """What stands for the value of a run that diverged, where a sampler must have a number.

    That is what the run had before it had learned anything: a much larger number teaches a
    sampler no more, and hides from it how the others differ. Measured with `gp` on a function like
    a sweep's, four seeds of 40 trials: with the first batch's loss the best was within 0.001 of the
    lowest there is, with ten times that within 0.1.

    Args:
        results: of the run's epochs, of which there is at least one.
        objective: a name in `SECOND_OBJECTIVES`.
        epochs: the run was to have.
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
