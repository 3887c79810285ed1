"""The expected best value of a number of trials, with an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_RESAMPLES = 1000
_POINTS = 60  # points of a curve


def expected_best(values: NDArray[np.float64], n: int, maximize: bool) -> NDArray[np.float64]:
    """The expected best of n trials drawn from the given results.

    The mean over `n` draws with replacement, computed exactly (Dodge et al., Show Your Work, 2019,
    https://arxiv.org/abs/1909.03004). For n near the number of values it is biased towards worse
    values, as nothing beyond the best value can be drawn (Tang et al., 2020).

    Args:
        values: N results of trials, in any order, all finite; or M such lists, (M, N).
        n: number of trials.
        maximize: whether higher is better.

    Returns:
        A number, or M.
    """
    count = values.shape[-1]
    rising = np.sort(values, axis=-1)
    ordered = rising if maximize else rising[..., ::-1]  # best last
    below = (np.arange(count + 1) / count) ** n  # probability that all draws are among the first i
    return np.asarray(ordered @ np.diff(below))


def expected_curve(values: NDArray[np.float64], maximize: bool) -> pd.DataFrame:
    """The expected best for 1 to N trials, with a band.

    Args:
        values: as for `expected_best`.
        maximize: whether higher is better.

    Returns:
        One row per number of trials, thinned out for large N: trials (int64), expected, and low and
        high, its 95 % bootstrap interval (deterministic; missing for a single value).
    """
    count = len(values)
    numbers = np.unique(np.linspace(1, count, min(count, _POINTS)).round().astype("int64"))
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    resampled = np.sort(values[draws], axis=1)  # computed once for all numbers of trials
    rows = []
    for n in numbers.tolist():
        low, high = np.nan, np.nan
        if count > 1:
            low, high = np.quantile(expected_best(resampled, n, maximize), [0.025, 0.975])
        rows.append((n, float(expected_best(values, n, maximize)), float(low), float(high)))
    return pd.DataFrame(rows, columns=["trials", "expected", "low", "high"])
