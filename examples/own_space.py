"""A search space as a Python function, for what a file cannot say.

    python -m sweeps.run --dataset digits --epochs 5 --trials 20 \
        --space examples.own_space:suggest

Whatever a file can say is better said in one: mistakes are found with their line, points can be
counted and enqueued by name, and `--sampler GridSampler` works.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The fields of a config by name; arguments of the optimizer go by theirs.

    Trials share epochs whose rates were the same until then, so the rate is rounded.
    """
    optimizer = trial.suggest_categorical("optimizer", ["SGD", "AdamW"])
    batch_size = trial.suggest_categorical("batch_size", [32, 64, 128])
    rate = trial.suggest_float("rate for 64 images", 1e-3, 0.3, log=True)
    values: dict[str, Any] = {
        "optimizer": optimizer,
        "batch_size": batch_size,
        "lr": float(f"{rate * batch_size / 64:.1g}"),  # larger batches, larger steps
        "scheduler": "CosineAnnealingLR",
    }
    if optimizer == "SGD":
        values["momentum"] = trial.suggest_float("momentum", 0.0, 0.9, step=0.3)
        values["nesterov"] = values["momentum"] > 0  # what SGD refuses is never suggested
    return values
