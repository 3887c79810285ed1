"""Spaces, and a made-up law of training, so that a search is tried in milliseconds an epoch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.allocation.curves import DIVERGED_CONSTRAINT, GRANTED
from sweeps.search.allocation.outlook import Outlook
from sweeps.search.allocation.points import Point, Points
from sweeps.space import Space, open_space
from trainer.settings.config import TrainConfig

OPTIMIZERS = """
optimizer = ["SGD", "Adam", "RMSprop"]
step_size = { low = 1, high = "epochs" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
[when.optimizer.SGD]
lr = { low = 1e-3, high = 1.0, grid = "1-2-5" }
[when.optimizer.Adam]
lr = { low = 1e-4, high = 1e-2, grid = "1-2-5" }
[when.optimizer.RMSprop]
lr = { low = 1e-4, high = 1e-2, grid = "1-2-5" }
"""
"""Three optimizers, each with rates of its own; the highest of SGD diverges by the law."""

SCHEDULES = (
    'step_size = { low = 1, high = "epochs" }\ngamma = { low = 0.1, high = 0.9, step = 0.1 }'
)
"""One family of rates: all trials share their first epoch."""

START = math.log(2.3)
_BEST_RATES = {"SGD": 0.05, "Adam": 1e-3, "RMSprop": 5e-4}
_DIVERGES = 3.9  # times the best rate and above


def space_in(folder: Path, text: str = OPTIMIZERS) -> Space:
    """The space of a file with this text."""
    path = folder / f"space{abs(hash(text))}.toml"
    path.write_text(text)
    return open_space(str(path))


def points_of(space: Space, epochs: int = 8, **changes: Any) -> Points:
    """The points of a space, anew as in another process."""
    return Points(space, TrainConfig(device="cpu", epochs=epochs, **changes), images=100)


def outlook_of(space: Space, epochs: int = 8, **changes: Any) -> Outlook:
    """An outlook, anew as in another process."""
    return Outlook(points_of(space, epochs), **{"maximize": False, "seed": 0, **changes})


def losses(constants: Mapping[str, Any], rates: Sequence[float]) -> list[float]:
    """The val_loss of each epoch by the law, up to the last one before it diverges.

    An epoch takes off the more of the logarithm the nearer the rate is to the optimizer's best one,
    and the less the later it is; a high rate keeps the loss up until it decays.
    """
    best = _BEST_RATES[constants["optimizer"]]
    learnt, values = 0.0, []
    for epoch, rate in enumerate(rates, start=1):
        if rate >= _DIVERGES * best:
            break
        off = math.log(rate / best)
        learnt += 0.5 * math.exp(-(off**2) / 8) / epoch
        values.append(math.exp(START - learnt + 0.1 * max(0.0, off)))
    return values


def trial_of(
    point: Point,
    values: Sequence[float] | None = None,
    *,
    number: int = 0,
    granted: int | None = None,
    state: TrialState = TrialState.RUNNING,
    diverged: bool | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A trial of a point as Optuna has it, by the law where its values are not given.

    Args:
        point: that it trains.
        values: of its epochs; None: by the law, as far as it is granted.
        number: of the trial.
        granted: its epochs; None: nobody has granted any.
        state: of the trial.
        diverged: whether the epoch after these diverged; None: by the law.
        attrs: further attributes.
    """
    if values is None:
        known = losses(point.constants, point.rates)
        values = known[:granted]
        diverged = len(values) < (granted or len(point.rates)) if diverged is None else diverged
    if diverged and state == TrialState.RUNNING:
        state = TrialState.PRUNED
    trial = create_trial(
        state=state,
        value=min(values) if state == TrialState.COMPLETE else None,
        params=dict(point.params),
        distributions=dict(point.distributions),
        user_attrs={**({} if granted is None else {GRANTED: granted}), **(attrs or {})},
        intermediate_values=dict(enumerate(values, start=1)),
        constraints={DIVERGED_CONSTRAINT: 1.0} if diverged else None,
    )
    trial.number = number
    return trial
