"""Values of objectives, and what stands for them where a run diverged."""

import math

import pytest
from samples import result

from sweeps.search.objectives import SECOND_OBJECTIVES, SECONDS, UNKNOWN_LOSS, penalty_of, value_of

LOSSES = ("running_loss", "train_loss", "val_loss")


def test_a_metric_counts_at_its_best_epoch_and_seconds_over_all() -> None:
    """The second epoch has the lower loss; both took time."""
    results = [
        result(1, val_loss=2.0, val_accuracy=0.4, epoch_seconds=3.0),
        result(2, val_loss=1.5, val_accuracy=0.3, epoch_seconds=4.5),
    ]
    assert value_of(results, "val_loss") == 1.5
    assert value_of(results, "val_accuracy") == 0.4
    assert value_of(results, SECONDS) == 7.5


@pytest.mark.parametrize("objective", SECOND_OBJECTIVES)
@pytest.mark.parametrize("first_batch_loss", [2.3, 1e30, math.inf, math.nan])
def test_a_penalty_is_finite_whatever_the_losses_are(
    objective: str, first_batch_loss: float
) -> None:
    """Samplers take no other number."""
    nothing = dict.fromkeys((*LOSSES, "val_accuracy"), math.nan)
    results = [result(1, **nothing, first_batch_loss=first_batch_loss)]
    assert math.isfinite(penalty_of(results, objective, epochs=20, batch=64))


@pytest.mark.parametrize("objective", ["train_loss", "val_loss"])
def test_the_penalty_is_the_loss_before_anything_was_learned(objective: str) -> None:
    """It is that of the run's very first batch."""
    results = [result(1, first_batch_loss=2.3), result(2, first_batch_loss=9.0)]
    assert penalty_of(results, objective, epochs=20, batch=64) == 2.3


def test_the_penalty_of_a_running_loss_is_over_all_batches() -> None:
    """A last batch that is not full counts as one."""
    results = [result(1, first_batch_loss=2.0, epoch_seconds=0.3, images_per_second=1000 / 0.3)]
    assert penalty_of(results, "running_loss", epochs=20, batch=64) == 2.0 * 16


def test_other_penalties_are_the_worst_there_is() -> None:
    """No accuracy, and the time that all epochs would have taken."""
    results = [result(1, epoch_seconds=2.0), result(2, epoch_seconds=4.0)]
    assert penalty_of(results, "val_accuracy", epochs=20, batch=64) == 0.0
    assert penalty_of(results, SECONDS, epochs=20, batch=64) == 60.0
    unknown = [result(1, first_batch_loss=math.nan)]
    assert penalty_of(unknown, "val_loss", epochs=20, batch=64) == UNKNOWN_LOSS
