"""Whether a search has settled: how much its later trials improved on the best earlier value."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_TRIALS = 20
"""Of fewer trials nothing is concluded."""


def late_gain(values: Sequence[float], earlier: float, *, maximize: bool) -> float:
    """By how much the later trials improved on the best earlier value, as a share of that.

    Replayed studies of 50 trials, doubled to 100, improved by 0.5 % on average, as much as their
    last quarter had improved them before; see benchmarks/RESULTS.md. No further gain could be
    foretold of a single study, neither so nor by the model of one epoch.

    Args:
        values: the best value of each trial, in the order in which they began; NaN: it has none.
        earlier: the share of trials that count as earlier ones, in (0, 1).
        maximize: whether more is better.

    Returns:
        0.0 where none is better; infinity where no earlier trial has a value.
    """
    losses = [-value if maximize else value for value in values]
    known = [math.inf if math.isnan(loss) else loss for loss in losses]
    until = int(earlier * len(known))
    before, best = min(known[:until], default=math.inf), min(known, default=math.inf)
    if math.isinf(before):
        return math.inf
    return (before - best) / abs(before) if best < before else 0.0
