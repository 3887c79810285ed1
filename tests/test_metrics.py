import math
from dataclasses import replace

import pytest
from samples import result

from trainer.metrics import (
    EPOCH_METRICS,
    OBJECTIVES,
    VAL_ACCURACY,
    VAL_LOSS,
    EpochResult,
    best,
    has_diverged,
)


def test_json_gives_back_every_number_to_the_last_bit() -> None:
    """Also what is infinite, and numbers that no short decimal stands for."""
    odd = result(running_loss=0.1 + 0.2, train_loss=math.inf, val_loss=5e-324, lr=1e-4 / 3)
    assert EpochResult.from_json(odd.to_json()) == odd
    assert "\n" not in odd.to_json()
    nothing = EpochResult.from_json(result(val_loss=math.nan).to_json())
    assert math.isnan(nothing.val_loss)


def test_a_result_takes_less_than_a_kilobyte() -> None:
    """Results are kept for good, so they must be small."""
    long = result(running_loss=-1 / 3 * 1e-300, ended_at=1 / 3 * 1e10)
    assert len(replace(long, worker="h" * 64 + ":1234567", trained_for="f" * 64).to_json()) < 1000


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", "{}", '{"epoch": 1}', '{"x": 1}'])
def test_what_is_no_result_is_a_value_error(text: str) -> None:
    """Whatever a damaged file holds, one kind of error comes out."""
    with pytest.raises(ValueError, match=r".+"):
        EpochResult.from_json(text)


def test_metrics_have_the_names_and_the_order_written_once() -> None:
    """Each is a field of the result; each objective is among them."""
    metrics = result().metrics()
    assert tuple(metrics) == EPOCH_METRICS
    assert set(EPOCH_METRICS) <= result().values.keys()
    assert set(OBJECTIVES) <= set(EPOCH_METRICS)
    assert metrics[VAL_LOSS] == 2.2
    assert all(isinstance(value, float) for value in metrics.values())


@pytest.mark.parametrize(
    ("last", "diverged"),
    [
        ({"train_loss": 2.3}, False),
        ({"train_loss": 24.0}, False),  # exactly ten times the run's first batch
        ({"train_loss": 24.000001}, True),
        ({"train_loss": math.nan}, True),
        ({"train_loss": math.inf}, True),
        ({"val_loss": math.nan}, True),
        ({"val_loss": math.inf}, True),
        ({"val_loss": 1e9}, False),  # only a loss one trains on can explode
    ],
)
def test_a_run_diverges_when_a_loss_is_not_finite_or_explodes(
    last: dict[str, float], diverged: bool
) -> None:
    """Ten times the mean loss of the run's very first batch is the line."""
    results = [result(1), result(2), result(3, first_batch_loss=1e9, **last)]
    assert has_diverged(results) is diverged


def test_the_first_epoch_alone_can_show_that_a_run_diverged() -> None:
    """Its own first batch is what it is measured by."""
    assert has_diverged([result(train_loss=24.1)])
    assert not has_diverged([result(train_loss=23.9)])


@pytest.mark.parametrize(
    ("first", "last", "diverged"),
    [
        (1e-5, 0.5, False),  # fine-tuning by single images: the first one was known already
        (1e-5, 9.9, False),
        (1e-5, 10.1, True),
        (-2.0, -1.9, False),  # a likelihood
        (-2.0, -30.0, False),
        (-2.0, 1e6, True),
    ],
)
def test_a_first_loss_below_1_does_not_set_the_scale(
    first: float, last: float, diverged: bool
) -> None:
    """Ten times next to nothing is next to nothing, and ten times less than nothing is less."""
    assert has_diverged([result(first_batch_loss=first, train_loss=last)]) is diverged


@pytest.mark.parametrize(("objective", "epoch"), [(VAL_LOSS, 2), (VAL_ACCURACY, 3)])
def test_the_best_epoch_is_the_earliest_with_the_best_value(objective: str, epoch: int) -> None:
    """Losses are best when low, accuracy when high."""
    results = [
        result(1, val_loss=2.0, val_accuracy=0.1),
        result(2, val_loss=1.0, val_accuracy=0.2),
        result(3, val_loss=1.0, val_accuracy=0.3),
        result(4, val_loss=1.5, val_accuracy=0.3),
    ]
    assert best(results, objective).epoch == epoch
