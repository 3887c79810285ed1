"""Convergence of a search: how much its later trials improved on the best earlier value."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_TRIALS = 20
"""Minimum number of trials for a conclusion."""


def late_gain(values: Sequence[float], earlier: float, *, maximize: bool) -> float:
    """Relative improvement of the later trials on the best earlier value.

    Replayed studies of 50 trials improved by 0.5 % on average when doubled to 100, as much as in
    their last quarter before; see benchmarks/RESULTS.md. For a single study, neither this nor the
    model of one epoch predicts further gains.

    Args:
        values: best value of each trial, in order of their start; NaN: it has none.
        earlier: fraction of trials that count as earlier, in (0, 1).
        maximize: whether higher is better.

    Returns:
        0.0 if no later trial is better; infinity if no earlier trial has a value.
    """
    losses = [-value if maximize else value for value in values]
    known = [math.inf if math.isnan(loss) else loss for loss in losses]
    until = int(earlier * len(known))
    before, best = min(known[:until], default=math.inf), min(known, default=math.inf)
    if math.isinf(before):
        return math.inf
    return (before - best) / abs(before) if best < before else 0.0
