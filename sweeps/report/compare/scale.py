"""How far an axis goes: as far as results can be read, and not to the worst of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

_SPREADS = 10.0


def reach(values: pd.Series[float] | npt.NDArray[np.float64], *, maximize: bool) -> float:
    """The worst of the values that still belongs on one axis with the others.

    One loss of 1e8 among losses of about 1 makes a flat line of all others. The limit is ten times
    as far from the best value as the median is, so that nearly half of the values may be like that;
    what is no worse than twice the best value is never beyond it.

    Args:
        values: finite ones, at least one.
        maximize: whether more is better.
    """
    costs = np.asarray(-values if maximize else values, dtype=np.float64)
    best = costs.min()
    limit = best + max(_SPREADS * (np.median(costs) - best), abs(best))
    worst = float(costs[costs <= limit].max())
    return -worst if maximize else worst
