"""A sweep from Python, and its result as DataFrames.

    python examples/library.py

What it does stands in MLflow too, and the command `python -m sweeps.run` could resume it.
"""

from __future__ import annotations

from sweeps import SweepConfig, TrainConfig, sweep


def main() -> None:
    """Search, then look at what was found; called again, it trains nothing."""
    train = TrainConfig(dataset="digits", split="train", epochs=3)
    result = sweep(SweepConfig(train=train, trials=10))

    print(result.best)
    print(result.trials[["trial", "state", "optimizer", "lr", "best_val_loss"]])
    best = result.curves.groupby("trial")["val_loss"].min().nsmallest(3).index
    print(result.curves.pivot(index="epoch", columns="trial", values="val_loss")[best])


if __name__ == "__main__":  # each worker process imports this file
    main()
