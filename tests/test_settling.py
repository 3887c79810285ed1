import math

import pytest

from sweeps.search.settling import late_gain


@pytest.mark.parametrize(
    ("values", "maximize", "gain"),
    [
        ([2.0, 1.0, 3.0, 0.9], False, 0.1),
        ([2.0, 1.0, 3.0, 1.0], False, 0.0),
        ([0.2, 0.5, math.nan, 0.6], True, 0.2),
        ([-1.0, -2.0, -3.0, 0.0], False, 0.5),
        ([2.0, math.nan, math.nan, math.nan], False, 0.0),
        ([math.nan, math.nan, 1.0, 2.0], False, math.inf),
        ([], False, math.inf),
    ],
)
def test_the_gain_of_later_trials_is_a_share_of_the_best_earlier_value(values, maximize, gain):
    """Whatever the direction and the sign; trials without a value improve on nothing."""
    assert late_gain(values, 0.5, maximize=maximize) == pytest.approx(gain)


def test_the_earlier_trials_are_the_share_that_was_named():
    """Of four trials at three quarters only the last is late."""
    values = [4.0, 3.0, 2.0, 1.0]
    assert late_gain(values, 0.75, maximize=False) == pytest.approx(1 / 2)
    assert late_gain(values, 0.5, maximize=False) == pytest.approx(2 / 3)
