"""The search space: what a trial may be, on grids on which learning rates recur.

Rates that recur are what lets trials share epochs: the grid of `lr` goes 1, 2, 5, 10, ... and that
of `gamma` by tenths, so that different trials pass through the same rates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optuna.trial import BaseTrial

from trainer.config import TrainConfig

SEARCHED = ("optimizer", "lr", "step_size", "gamma")
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
LRS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
GAMMAS = (0.1, 0.9, 0.1)  # from, to, by


def suggest(trial: BaseTrial, base: TrainConfig) -> TrainConfig:
    """The config that `trial` stands for: `base` with the four searched fields drawn.

    Optuna sees the place of `lr` in its grid, an ordered number; its real value is a user
    attribute of the trial.
    """
    optimizer = trial.suggest_categorical("optimizer", OPTIMIZERS)
    lr = LRS[trial.suggest_int("lr_index", 0, len(LRS) - 1)]
    step_size = trial.suggest_int("step_size", 1, base.epochs)
    low, high, step = GAMMAS
    gamma = round(trial.suggest_float("gamma", low, high, step=step), 1)
    trial.set_user_attr("lr", lr)
    return replace(base, optimizer=optimizer, lr=lr, step_size=step_size, gamma=gamma)


def describe(base: TrainConfig) -> dict[str, Any]:
    """The space as JSON values."""
    low, high, step = GAMMAS
    return {
        "optimizer": list(OPTIMIZERS),
        "lr": list(LRS),
        "step_size": {"low": 1, "high": base.epochs},
        "gamma": {"low": low, "high": high, "step": step},
    }
