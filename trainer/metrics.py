"""Metrics of an epoch: their names, `EpochResult`, and the criterion of divergence."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

RUNNING_LOSS = "running_loss"
TRAIN_LOSS = "train_loss"
VAL_LOSS = "val_loss"
VAL_ACCURACY = "val_accuracy"
TEST_LOSS = "test_loss"
TEST_ACCURACY = "test_accuracy"
LR = "lr"
EPOCH_SECONDS = "epoch_seconds"
IMAGES_PER_SECOND = "images_per_second"

EPOCH_METRICS = (
    RUNNING_LOSS,
    TRAIN_LOSS,
    VAL_LOSS,
    VAL_ACCURACY,
    LR,
    EPOCH_SECONDS,
    IMAGES_PER_SECOND,
)
"""Logged for every epoch, in this order."""

OBJECTIVES = {RUNNING_LOSS: False, TRAIN_LOSS: False, VAL_LOSS: False, VAL_ACCURACY: True}
"""Metrics that a run can optimize, and whether higher is better."""

DIVERGENCE_FACTOR = 10.0
"""A run has diverged if an epoch's mean loss exceeds its first batch's loss by this factor.

A first loss below 1 counts as 1: weights that fit the batch already, or a loss that can be
negative, tell nothing about the scale.
"""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """Result of training one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        running_loss: sum over batches of each batch's mean loss, as in the tutorial.
        train_loss: mean over the training images, each with the weights before its batch's step.
        val_loss: mean over the validation images after the epoch.
        val_accuracy: fraction of validation images classified correctly.
        lr: learning rate during the epoch (of the first param group).
        epoch_seconds: duration of the pass over the training data, without validation.
        images_per_second: training images divided by `epoch_seconds`.
        first_batch_loss: mean loss of the epoch's first batch.
        state_digest: SHA-256 of every tensor and number of the state after the epoch.
        trained_for: id of the run that the epoch was first trained for.
        worker: host and process id of the worker.
        ended_at: end of the epoch, in seconds since 1970, UTC.
    """

    epoch: int
    running_loss: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    epoch_seconds: float
    images_per_second: float
    first_batch_loss: float
    state_digest: str
    trained_for: str
    worker: str
    ended_at: float

    def metrics(self) -> dict[str, float]:
        """The epoch's metrics by name, in the order of `EPOCH_METRICS`."""
        return {name: float(getattr(self, name)) for name in EPOCH_METRICS}

    def to_json(self) -> str:
        """JSON on one line, from which `from_json` restores the result bit by bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EpochResult:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not an epoch's result.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not an epoch's result: {error}") from error


def has_diverged(results: Sequence[EpochResult]) -> bool:
    """Whether a run with these results (of epochs 1, 2, ...) diverged in its last epoch."""
    last = results[-1]
    if not (math.isfinite(last.train_loss) and math.isfinite(last.val_loss)):
        return True
    return last.train_loss > DIVERGENCE_FACTOR * max(1.0, results[0].first_batch_loss)


def best(results: Sequence[EpochResult], objective: str) -> EpochResult:
    """The epoch with the best value of `objective`; of equal ones, the earliest."""
    pick = max if OBJECTIVES[objective] else min
    return pick(results, key=lambda result: float(getattr(result, objective)))
