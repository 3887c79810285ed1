import numpy as np
import pytest

from sweeps.report.compare.scale import reach


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_worst_of_the_values_is_shown_where_it_is_near_the_others(sign):
    """Losses of a usual study all fit on the axis, whichever way is better."""
    values = sign * np.array([1.1, 1.2, 1.5, 2.3, 2.31])
    assert reach(values, maximize=sign < 0) == sign * 2.31


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("far", [1, 2, 3])
def test_values_far_away_never_set_the_scale(sign, far):
    """Up to just under half of them."""
    values = sign * np.array([1.1, 1.2, 1.5, 2.3, *[1e8] * far])
    assert reach(values, maximize=sign < 0) == sign * 2.3


def test_values_that_are_alike_share_an_axis():
    """One is its own reach; what is within twice the best is never cut off."""
    assert reach(np.array([0.5]), maximize=False) == 0.5
    assert reach(np.array([1.0, 1.0, 1.0, 1.9, 7.0]), maximize=False) == 1.9
    assert reach(np.array([0.0, 0.0]), maximize=True) == 0.0
