"""The limit of an axis, so that outliers do not hide the other results."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

_SPREADS = 10.0


def reach(values: pd.Series[float] | npt.NDArray[np.float64], *, maximize: bool) -> float:
    """The worst value that still fits on one axis with the others.

    One loss of 1e8 among losses of about 1 makes the others a flat line. The limit is ten times as
    far from the best value as the median is, so that up to half of the values may be outliers;
    values no worse than twice the best are never beyond it.

    Args:
        values: finite, at least one.
        maximize: whether higher is better.
    """
    costs = np.asarray(-values if maximize else values, dtype=np.float64)
    best = costs.min()
    limit = best + max(_SPREADS * (np.median(costs) - best), abs(best))
    worst = float(costs[costs <= limit].max())
    return -worst if maximize else worst
