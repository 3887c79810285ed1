"""What one epoch gave: the names of its metrics, its result, and what makes a run diverge."""

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
"""Metrics a run can be judged by, and whether more is better."""

EXPLODED = 10.0
"""A run has diverged when an epoch's mean loss is above this many times its very first batch's.

A first loss below 1, as of weights that fit that batch already, or of a loss that can be negative,
says nothing of the scale; it counts as 1.
"""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What training one epoch gave, and where and when that was.

    Attributes:
        epoch: counted from 1.
        running_loss: the tutorial's: the sum over batches of each batch's mean loss.
        train_loss: mean over the training images, each under the weights of its moment.
        val_loss: mean over the validation images after the epoch.
        val_accuracy: share of validation images classified rightly, 0 to 1.
        lr: the rate in force during the epoch (of the first parameter group).
        epoch_seconds: the pass over the training data; validation is not counted.
        images_per_second: training images over `epoch_seconds`.
        first_batch_loss: mean loss of the epoch's first batch.
        state_digest: SHA-256 over every tensor and number of the state after the epoch.
        trained_for: id of the run it was first trained for.
        worker: where: host and process id.
        ended_at: when: seconds since 1970, UTC.
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
        """One line that `from_json` turns back into an equal result, to the last bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EpochResult:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not such a result.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not an epoch's result: {error}") from error


def has_diverged(results: Sequence[EpochResult]) -> bool:
    """Whether the last of a run's results (epochs 1, 2, ... in order) shows that it diverged."""
    last = results[-1]
    if not (math.isfinite(last.train_loss) and math.isfinite(last.val_loss)):
        return True
    return last.train_loss > EXPLODED * max(1.0, results[0].first_batch_loss)


def best(results: Sequence[EpochResult], objective: str) -> EpochResult:
    """The epoch with the best value of `objective`, the earliest among equals."""
    pick = max if OBJECTIVES[objective] else min
    return pick(results, key=lambda result: float(getattr(result, objective)))
