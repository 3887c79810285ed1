"""How important each parameter of a study is, by PED-ANOVA (Watanabe et al., 2023).

The numbers are those of Optuna's `PedAnovaImportanceEvaluator`, which imports scikit-learn and
torch: these take longer than all the rest of a report in text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.report.compare.ranking import LEAST_COMPLETE
from sweeps.report.reading.frames import StudyFrames
from trainer.metrics import OBJECTIVES
from trainer.tracking.record import BEST

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

_TOP = 0.1  # share of the trials that count as good
_STEPS = 50  # of the grid over a range
_LEAST_SIGMA = 0.5 / 1.64  # 90 % of a kernel is then within one step
_TINY = 1e-12  # keeps densities above 0
_SPREAD = 10.0  # ratio of bounds above which values are log-scaled

_erf = np.vectorize(math.erf, otypes=[np.float64])


def importances(
    frames: StudyFrames, complete: pd.DataFrame, names: Sequence[str]
) -> dict[str, float]:
    """Share of the difference between good and other trials that each parameter explains.

    Args:
        frames: the study, whose trials give the range of each parameter.
        complete: the complete ones of the ranked trials. A schedule has hardly acted on a trial of
            few epochs, so including these would hide its importance.
        names: columns of the trials that are parameters.

    Returns:
        Shares that sum to 1, highest first; empty if there are too few trials.
    """
    if len(complete) < LEAST_COMPLETE:
        return {}
    losses = complete[BEST + frames.objective] * (-1 if OBJECTIVES[frames.objective] else 1)
    good = losses <= losses.nsmallest(math.ceil(_TOP * len(losses))).max()
    found = {
        name: _explained(frames.trials[name], complete[name], good)
        for name in names
        if complete[name].notna().any()
    }
    total = sum(found.values())
    shares = {name: it / total if total else 1 / len(found) for name, it in found.items()}
    return dict(sorted(shares.items(), key=lambda item: item[1], reverse=True))


def is_log(low: float, high: float) -> bool:
    """Whether values between these bounds are treated as log-scaled."""
    return low > 0 and high / low >= _SPREAD


def _explained(every: pd.Series, column: pd.Series, good: pd.Series[bool]) -> float:
    """Pearson divergence of the good trials' density from that of all complete trials.

    Args:
        every: the values of all trials.
        column: the values of the complete trials; missing ones are left out.
        good: mask of the good ones among the complete trials.
    """
    known = column.dropna()
    best = known[good[known.index]]
    if len(known) < 2 or best.empty or every.nunique() < 2:
        return 0.0
    top, local = _density(every.dropna(), best), _density(every.dropna(), known)
    weight = (len(best) / good.sum()) ** 2 / (len(known) / len(column))
    return float(weight * (local @ (top / local - 1) ** 2))


def _density(every: pd.Series, values: pd.Series) -> Numbers:
    """Parzen density estimate on a grid over the parameter's range."""
    if pd.api.types.is_bool_dtype(every) or not pd.api.types.is_numeric_dtype(every):
        choices = sorted(set(map(str, every)))
        steps = len(choices)
        counts = np.bincount([choices.index(str(it)) for it in values], minlength=steps)
        seen = np.flatnonzero(counts)
        kernels = np.eye(steps)[seen] + 1 / (len(seen) + 1)
        kernels /= kernels.sum(axis=1, keepdims=True)
        prior = np.full((1, steps), 1 / steps)
    else:
        counts = _counts(every, values)
        steps, seen = len(counts), np.flatnonzero(counts)
        kernels = _normal(seen, _bandwidth(seen, counts[seen]), steps)
        prior = _normal(np.array([(steps - 1) / 2]), steps, steps)
    weights = np.append(counts[seen], 1)  # weight of the prior
    density: Numbers = weights @ np.vstack([kernels, prior]) / weights.sum() + _TINY
    return density


def _counts(every: pd.Series, values: pd.Series) -> Counts:
    """Histogram of the values over the steps from the lowest to the highest of all."""
    low, high, numbers = float(every.min()), float(every.max()), values.to_numpy(float)
    steps = _STEPS
    if pd.api.types.is_integer_dtype(every):
        steps = min(_STEPS, round(high - low) + 1)
    elif is_log(low, high):
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    places = np.ceil((numbers - low) / (high - low) * (steps - 1) - 0.5)
    return np.bincount(np.clip(places, 0, steps - 1).astype(int), minlength=steps)


def _bandwidth(seen: Counts, counts: Counts) -> float:
    """Scott's rule, for steps with these counts."""
    total, until = counts.sum(), counts.cumsum()
    deviation = math.sqrt(np.cov(seen, fweights=counts, ddof=min(1, total - 1)))
    first = seen[np.searchsorted(until, total // 4)]
    third = seen[min(len(seen) - 1, np.searchsorted(until, total * 3 // 4, side="right"))]
    sigma = 1.059 * min((third - first) / 1.34, deviation) * total**-0.2
    return float(max(sigma, _LEAST_SIGMA))


def _normal(means: NDArray[Any], sigma: float, steps: int) -> Numbers:
    """Normal distributions of these means over the steps, truncated to them."""
    edges = (np.arange(steps + 1) - 0.5 - means[:, None]) / sigma
    below = _erf(edges / math.sqrt(2))
    shares: Numbers = np.diff(below) / (below[:, -1:] - below[:, :1])
    return shares
