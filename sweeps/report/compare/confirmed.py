"""Comparison of trials by their repeats, which are trained from other seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEAST_SEEDS = 5
"""Fewer values give no interval: all 4 of 4 lie on one side of the true mean in 1 of 8 cases."""

BEST_VERDICT, TIED, WORSE, TOO_FEW = "best", "tied", "worse", "too few seeds"
"""Verdicts: it has the best mean; the interval of its difference from that contains 0; the interval
does not; it has values from fewer than `LEAST_SEEDS` seeds."""

_RESAMPLES = 10_000


def compare(repeats: pd.DataFrame, *, maximize: bool) -> pd.DataFrame:
    """Compare each repeated trial with the best one, over the seeds of both.

    Args:
        repeats: see `StudyFrames.repeats`; the trials' own runs are not among them.
        objective: name of the metric.

    Returns:
        One row per trial, best first: trial, seeds (number of values), diverged (number of repeats
        that diverged or failed), mean, std (sample standard deviation; missing for one seed),
        difference (mean difference from the best trial over the same seeds), low and high (95 %
        interval of the difference; missing for fewer than `LEAST_SEEDS` seeds), verdict.
        Trials with too few seeds come last, and before them those that diverged for some seed.
    """
    values = repeats.pivot(index="seed", columns="trial", values="value")
    ended = repeats[repeats["state"] != "complete"]
    frame = pd.DataFrame(
        {
            "seeds": values.count(),
            "diverged": ended[ended["state"].isin(("diverged", "failed"))].groupby("trial").size(),
            "mean": values.mean(),
            "std": values.std(),
        }
    )
    frame["diverged"] = frame["diverged"].fillna(0).astype("int64")
    frame = frame[frame["seeds"] + frame["diverged"] > 0].rename_axis("trial").reset_index()
    frame["unstable"] = frame["diverged"] > 0
    frame["few"] = frame["seeds"] + frame["diverged"] < LEAST_SEEDS
    order = ["few", "unstable", "mean", "trial"]
    frame = frame.sort_values(order, ascending=[True, True, not maximize, True])
    frame = frame.drop(columns=["few", "unstable"]).reset_index(drop=True)
    best, *others = frame["trial"] if len(frame) else [None]
    rows = [(0.0, np.nan, np.nan, BEST_VERDICT)] if len(frame) else []
    rows += [_against(values[best], values[other]) for other in others]
    against = pd.DataFrame(rows, columns=["difference", "low", "high", "verdict"])
    return pd.concat([frame, against], axis=1)


def seed_noise(repeats: pd.DataFrame) -> float | None:
    """Variation between seeds of one configuration, without the effect that all trials share.

    This is the residual standard deviation of a two-way layout, after subtracting the mean of each
    trial and of each seed.

    Args:
        repeats: see `StudyFrames.repeats`.

    Returns:
        A share of the mean value; None unless two trials have values from the same three seeds.
    """
    values = repeats.pivot(index="seed", columns="trial", values="value").dropna().to_numpy()
    seeds, trials = values.shape
    if seeds < 3 or trials < 2:
        return None
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    deviation = math.sqrt(float((rest**2).sum()) / ((seeds - 1) * (trials - 1)))
    return deviation / abs(float(values.mean()))


def _against(best: pd.Series[float], other: pd.Series[float]) -> tuple[float, float, float, str]:
    """Mean difference over the common seeds, its interval, and the verdict."""
    differences = np.asarray((other - best).dropna(), dtype=np.float64)
    if len(differences) < LEAST_SEEDS:
        mean = float(differences.mean()) if len(differences) else np.nan
        return mean, np.nan, np.nan, TOO_FEW
    low, high = interval(differences)
    verdict = TIED if low <= 0 <= high else WORSE
    return float(differences.mean()), low, high, verdict


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of at least 2 values; deterministic.

    The percentile interval is too narrow for few values. Its percentiles are therefore expanded, so
    that for normal values it is as wide as Student's interval (Hesterberg, What Teachers Should
    Know About the Bootstrap, 2015: the "expanded percentile interval").
    """
    from scipy.stats import norm, t  # slow to import

    count = len(values)
    tail = norm.cdf(math.sqrt(count / (count - 1)) * t.ppf(0.025, count - 1))
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)
