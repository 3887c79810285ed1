"""Parameter importances by PED-ANOVA (Watanabe et al., 2023).

They equal those of Optuna's `PedAnovaImportanceEvaluator`. That is not used, because importing
`optuna.importance` imports scikit-learn and takes longer than the rest of a text report.
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
from trainer.tracking.record import BEST

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

_TOP = 0.1  # share of the trials that count as good
_STEPS = 50  # grid points per range
_LEAST_SIGMA = 0.5 / 1.64  # 90 % of a kernel lie within one step
_TINY = 1e-12  # keeps densities positive
_SPREAD = 10.0  # ratio of the highest to the lowest value from which on a scale is logarithmic

_erf = np.vectorize(math.erf, otypes=[np.float64])


def importances(
    frames: StudyFrames, complete: pd.DataFrame, names: Sequence[str]
) -> dict[str, float]:
    """Importance of each parameter for being among the best tenth of the trials.

    Args:
        frames: the study; all its trials define the range of each parameter.
        complete: the complete ones of the ranked trials. Trials of few epochs would make a schedule
            look unimportant, since it has hardly acted on them.
        names: columns of the trials that are parameters.

    Returns:
        Shares that add up to 1, largest first; empty for fewer than `LEAST_COMPLETE` trials.
    """
    if len(complete) < LEAST_COMPLETE:
        return {}
    losses = complete[BEST + frames.objective] * (-1 if frames.maximize else 1)
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
    """Whether a range is treated as logarithmic."""
    return low > 0 and high / low >= _SPREAD


def _explained(every: pd.Series, column: pd.Series, good: pd.Series[bool]) -> float:
    """Pearson divergence between the densities of the good and of all complete trials.

    Args:
        every: the parameter's values in all trials, which define its range.
        column: its values in the complete trials.
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
    """Parzen estimate of the density of the values on a grid over the parameter's range."""
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
    weights = np.append(counts[seen], 1)  # 1 is the weight of the prior
    density: Numbers = weights @ np.vstack([kernels, prior]) / weights.sum() + _TINY
    return density


def _counts(every: pd.Series, values: pd.Series) -> Counts:
    """Number of values at each grid point."""
    low, high, numbers = float(every.min()), float(every.max()), values.to_numpy(float)
    steps = _STEPS
    if pd.api.types.is_integer_dtype(every):
        steps = min(_STEPS, round(high - low) + 1)
    elif is_log(low, high):
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    places = np.ceil((numbers - low) / (high - low) * (steps - 1) - 0.5)
    return np.bincount(np.clip(places, 0, steps - 1).astype(int), minlength=steps)


def _bandwidth(seen: Counts, counts: Counts) -> float:
    """Bandwidth by Scott's rule for grid points with these counts."""
    total, until = counts.sum(), counts.cumsum()
    deviation = math.sqrt(np.cov(seen, fweights=counts, ddof=min(1, total - 1)))
    first = seen[np.searchsorted(until, total // 4)]
    third = seen[min(len(seen) - 1, np.searchsorted(until, total * 3 // 4, side="right"))]
    sigma = 1.059 * min((third - first) / 1.34, deviation) * total**-0.2
    return float(max(sigma, _LEAST_SIGMA))


def _normal(means: NDArray[Any], sigma: float, steps: int) -> Numbers:
    """Normal distributions with these means, truncated to the grid; one row per mean."""
    edges = (np.arange(steps + 1) - 0.5 - means[:, None]) / sigma
    below = _erf(edges / math.sqrt(2))
    shares: Numbers = np.diff(below) / (below[:, -1:] - below[:, :1])
    return shares
