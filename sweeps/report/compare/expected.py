"""The expected best value by number of trials, with its uncertainty."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_RESAMPLES = 1000
_POINTS = 60  # per curve


def expected_best(values: NDArray[np.float64], n: int, maximize: bool) -> NDArray[np.float64]:
    """Expected best of n draws with replacement from the results of trials, computed exactly.

    See Dodge et al., Show Your Work, 2019, https://arxiv.org/abs/1909.03004. For n close to the
    number of values the estimate is biased towards worse values, since no draw exceeds the best
    value seen (Tang et al., 2020).

    Args:
        values: finite results of N trials in any order; or of M samples, (M, N).
        n: number of draws.
        maximize: whether larger values are better.

    Returns:
        A scalar, or one value per sample.
    """
    count = values.shape[-1]
    rising = np.sort(values, axis=-1)
    ordered = rising if maximize else rising[..., ::-1]  # the best one last
    below = (np.arange(count + 1) / count) ** n  # probability that all draws are among the first i
    return np.asarray(ordered @ np.diff(below))


def expected_curve(values: NDArray[np.float64], maximize: bool) -> pd.DataFrame:
    """The expected best for 1 to N trials, with a bootstrap interval.

    Args:
        values: finite results of N trials.
        maximize: whether larger values are better.

    Returns:
        One row per number of trials, at most 60 of them: trials (int64), expected, and low and
        high, the 95 % bootstrap interval (deterministic; missing for a single value).
    """
    count = len(values)
    numbers = np.unique(np.linspace(1, count, min(count, _POINTS)).round().astype("int64"))
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    resampled = np.sort(values[draws], axis=1)  # once for all numbers of trials
    rows = []
    for n in numbers.tolist():
        low, high = np.nan, np.nan
        if count > 1:
            low, high = np.quantile(expected_best(resampled, n, maximize), [0.025, 0.975])
        rows.append((n, float(expected_best(values, n, maximize)), float(low), float(high)))
    return pd.DataFrame(rows, columns=["trials", "expected", "low", "high"])
