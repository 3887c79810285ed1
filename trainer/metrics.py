"""Metrics of an epoch: their names, `EpochResult`, and the criterion of divergence."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
FIRST_BATCH_LOSS = "first_batch_loss"

EPOCH_METRICS = (
    RUNNING_LOSS,
    TRAIN_LOSS,
    VAL_LOSS,
    VAL_ACCURACY,
    LR,
    EPOCH_SECONDS,
    IMAGES_PER_SECOND,
)
"""Logged for every epoch of the built-in training, in this order; metrics of the user's follow."""

OBJECTIVES = {RUNNING_LOSS: False, TRAIN_LOSS: False, VAL_LOSS: False, VAL_ACCURACY: True}
"""Metrics of the built-in training that a run can optimize, and whether higher is better."""

UNLOGGED = (FIRST_BATCH_LOSS,)
"""Values of an epoch that are stored, but are not metrics."""

RESERVED = frozenset(
    {*EPOCH_METRICS, *UNLOGGED, TEST_LOSS, TEST_ACCURACY, "seconds"}
    | {"trial", "epoch", "reused", "worker", "ended_at"}  # columns of reports
)
"""Names that metrics of the user's must not have."""

DIVERGENCE_FACTOR = 10.0
"""A run has diverged if an epoch's mean loss exceeds its first batch's loss by this factor.

A first loss below 1 counts as 1: weights that fit the batch already, or a loss that can be
negative, tell nothing about the scale.
"""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """Result of training one epoch.

    The built-in training has the values `EPOCH_METRICS` and `first_batch_loss`:
        running_loss: sum over batches of each batch's mean loss, as in the tutorial.
        train_loss: mean over the training images, each with the weights before its batch's step.
        val_loss: mean over the validation images after the epoch.
        val_accuracy: fraction of validation images classified correctly.
        lr: learning rate during the epoch (of the first param group).
        epoch_seconds: duration of the pass over the training data, without validation.
        images_per_second: training images divided by `epoch_seconds`.
        first_batch_loss: mean loss of the epoch's first batch.

    Attributes:
        epoch: number of the epoch, from 1.
        values: what the epoch gave, by name; `epoch_seconds` is always among them.
        state_digest: SHA-256 of every tensor and number of the state after the epoch.
        trained_for: id of the run that the epoch was first trained for.
        worker: host and process id of the worker.
        ended_at: end of the epoch, in seconds since 1970, UTC.
    """

    epoch: int
    values: Mapping[str, float]
    state_digest: str
    trained_for: str
    worker: str
    ended_at: float

    @property
    def train_loss(self) -> float:
        """Mean loss over the training data; NaN if the training has none."""
        return self.values.get(TRAIN_LOSS, math.nan)

    @property
    def val_loss(self) -> float:
        """Mean loss over the validation data; NaN if the training has none."""
        return self.values.get(VAL_LOSS, math.nan)

    @property
    def epoch_seconds(self) -> float:
        """Duration of the epoch."""
        return self.values[EPOCH_SECONDS]

    def metrics(self) -> dict[str, float]:
        """The values that are logged, by name."""
        return {name: float(it) for name, it in self.values.items() if name not in UNLOGGED}

    def to_json(self) -> str:
        """JSON on one line, from which `from_json` restores the result bit by bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EpochResult:
        """Read what `to_json` wrote; earlier versions did not keep the values apart.

        Raises:
            ValueError: the text is not an epoch's result.
        """
        try:
            given = json.loads(text)
            if "values" not in given:
                names = (*EPOCH_METRICS, *UNLOGGED)
                given["values"] = {name: given.pop(name) for name in names}
            return cls(**given)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not an epoch's result: {error!r}") from error


def has_diverged(results: Sequence[EpochResult], objective: str = VAL_LOSS) -> bool:
    """Whether a run with these results (of epochs 1, 2, ...) diverged in its last epoch.

    A run without a `first_batch_loss`, which the built-in training has, diverges where its
    objective is not finite.
    """
    first, last = results[0].values, results[-1].values
    if FIRST_BATCH_LOSS not in first:
        return not math.isfinite(last.get(objective, 0.0))
    if not (math.isfinite(last[TRAIN_LOSS]) and math.isfinite(last[VAL_LOSS])):
        return True
    return last[TRAIN_LOSS] > DIVERGENCE_FACTOR * max(1.0, first[FIRST_BATCH_LOSS])


def is_maximized(objective: str, direction: bool | None = None) -> bool:
    """Whether a higher value is better: as given, or as known of a built-in metric."""
    return OBJECTIVES.get(objective, False) if direction is None else direction


def best(
    results: Sequence[EpochResult], objective: str, maximize: bool | None = None
) -> EpochResult:
    """The epoch with the best value of `objective`; of equal ones, the earliest.

    Args:
        results: results of epochs, at least one; each has the objective.
        objective: name of a metric.
        maximize: whether a higher value is better; None: as `OBJECTIVES` says.
    """
    pick = max if is_maximized(objective, maximize) else min
    return pick(results, key=lambda result: result.values[objective])
