"""Robust axis limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

_SPREADS = 10.0


def reach(values: pd.Series[float] | npt.NDArray[np.float64], *, maximize: bool) -> float:
    """The worst value that an axis should show; worse values are outliers.

    An axis that shows a loss of 1e8 flattens losses of about 1. The limit is ten times as far from
    the best value as the median is, so that nearly half of the values may be outliers. Values no
    worse than twice the best one are never outliers.

    Args:
        values: at least one, all finite.
        maximize: whether larger values are better.
    """
    costs = np.asarray(-values if maximize else values, dtype=np.float64)
    best = costs.min()
    limit = best + max(_SPREADS * (np.median(costs) - best), abs(best))
    worst = float(costs[costs <= limit].max())
    return -worst if maximize else worst
