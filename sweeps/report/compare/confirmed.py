"""Comparison of trials by their seed replicates, with confidence intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainer.metrics import OBJECTIVES

LEAST_SEEDS = 5
"""Of fewer no interval is made: all values of 4 lie on one side of the truth in 1 of 8 cases."""

BEST_VERDICT, TIED, WORSE, TOO_FEW = "best", "tied with the best", "worse", "too few seeds to say"

_RESAMPLES = 10_000


def compare(repeats: pd.DataFrame, objective: str) -> pd.DataFrame:
    """Compare the repeated trials with the best of them, over the seeds they have in common.

    Args:
        repeats: of a study, without the runs of the search.
        objective: the metric trials are judged by.

    Returns:
        One row per trial, best first: trial, seeds (number with a value), diverged (number that
        diverged or failed), mean, std (of one run; missing for one seed), difference (mean
        difference to the best trial over their common seeds), low and high (its 95 % interval;
        missing for fewer than `LEAST_SEEDS`), verdict (one of the above).
        A trial that diverged with any seed is ranked after all that never did, and a trial with too
        few seeds, because it lost a race, after all with enough.
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
    frame = frame.sort_values(order, ascending=[True, True, not OBJECTIVES[objective], True])
    frame = frame.drop(columns=["few", "unstable"]).reset_index(drop=True)
    best, *others = frame["trial"] if len(frame) else [None]
    rows = [(0.0, np.nan, np.nan, BEST_VERDICT)] if len(frame) else []
    rows += [_against(values[best], values[other]) for other in others]
    against = pd.DataFrame(rows, columns=["difference", "low", "high", "verdict"])
    return pd.concat([frame, against], axis=1)


def seed_noise(repeats: pd.DataFrame) -> float | None:
    """Noise between seeds: variation of one configuration beyond what is common to all.

    The residual standard deviation of a two-way layout, after removing the mean of each trial and
    of each seed.

    Args:
        repeats: of a study.

    Returns:
        Relative to the mean value; None unless two trials have values for the same three seeds.
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
    """95 % bootstrap interval of the mean of N values, N >= 2; deterministic.

    The percentile interval is too narrow for small N, as training allows no other; so the
    percentiles are those that give the width of Student's interval for normal values (Hesterberg,
    What
    Teachers Should Know About the Bootstrap, 2015: the "expanded percentile interval").
    """
    from scipy.stats import norm, t  # slow to import

    count = len(values)
    tail = norm.cdf(math.sqrt(count / (count - 1)) * t.ppf(0.025, count - 1))
    draws = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)
