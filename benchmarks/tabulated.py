"""A problem whose every configuration was trained: curves by lookup, and the regret of a winner.

    table = Tabulated("digits", seed=0)
    table.curve("SGD", 0.1, 4, 0.5)  # val_loss of epochs 1, 2, ...
    table.regret_unseen(Point("SGD", 0.1, 4, 0.5))

`table.py` makes the files. This module needs numpy and pandas alone, so that other tools' searches
can be replayed in an environment without torch.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

TABLES = Path(__file__).parent / "tables"

Values = np.ndarray[Any, np.dtype[np.float64]]


class Point(NamedTuple):
    """A configuration of the table."""

    optimizer: str
    lr: float
    step_size: int
    gamma: float


class Tabulated:
    """All curves of a problem from the weights of one seed, and what they give on the other seeds.

    The space is made of the families (optimizer and rate) in the searched seed's file, so that a
    table that is still being made can be searched. A seed counts as unseen once its file has all
    of these families.

    Args:
        problem: name of the table.
        seed: of the weights that are searched.
        folder: where the tables are.

    Attributes:
        rates: sorted learning rates by optimizer.
        step_sizes: sorted; the last one is the constant rate.
        gammas: sorted.
        epochs: of a whole run.
        unseen: the other seeds that have all points.
    """

    def __init__(self, problem: str, seed: int = 0, folder: Path = TABLES) -> None:
        self.problem, self.seed, self._folder = problem, seed, folder
        self._rows = self._read(seed)
        families = self._rows[["optimizer", "lr"]].drop_duplicates()
        self.rates = {
            str(optimizer): tuple(sorted(rates))
            for optimizer, rates in families.groupby("optimizer", sort=False)["lr"]
        }
        self.epochs = int(self._rows["epoch"].max())
        decayed = self._rows[self._rows["step_size"] > 0]
        self.step_sizes = (*sorted({*decayed["step_size"].tolist()}), self.epochs)
        self.gammas = tuple(sorted({*decayed["gamma"].tolist()}))
        self._points = [
            Point(optimizer, lr, step_size, gamma)
            for optimizer, rates in self.rates.items()
            for lr in rates
            for step_size in self.step_sizes
            for gamma in self.gammas
        ]
        self._index = {point: index for index, point in enumerate(self._points)}
        others = {int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{problem}-*.parquet")}
        self.unseen = tuple(other for other in sorted(others - {seed}) if self._is_whole(other))

    @property
    def families(self) -> int:
        """Number of pairs of optimizer and rate."""
        return sum(len(rates) for rates in self.rates.values())

    def points(self) -> list[Point]:
        """All configurations; those of the last step_size differ in name only."""
        return self._points

    def index(self, point: Point) -> int:
        """Position of a configuration in `points()` and in the arrays."""
        return self._index[point]

    def curve(self, optimizer: str, lr: float, step_size: int, gamma: float) -> Values:
        """val_loss by epoch. A run that diverged ends early, its last value being infinite."""
        index = self._index[Point(optimizer, lr, step_size, gamma)]
        return self.val_loss[index, : self.trained[index]]

    def column(self, name: str, seed: int | None = None) -> Values:
        """A column of the table as (points, epochs); NaN where a run had ended, or has no value.

        Args:
            name: of the column, e.g. val_accuracy or probe.
            seed: of the weights; the searched one if None.
        """
        rows = self._rows if seed is None or seed == self.seed else self._read(seed)
        values = np.full((len(self._points), self.epochs), np.nan)
        by_schedule = values.reshape(
            self.families, len(self.step_sizes), len(self.gammas), self.epochs
        )
        numbers = {
            (optimizer, lr): number
            for number, (optimizer, lr) in enumerate(
                (optimizer, lr) for optimizer, rates in self.rates.items() for lr in rates
            )
        }
        for family, of_family in rows.groupby(["optimizer", "lr"], sort=False):
            if family not in numbers:
                continue
            target = by_schedule[numbers[family]]
            constant = of_family[of_family["step_size"] == 0]
            for row, step_size in enumerate(self.step_sizes):
                shared = constant[constant["epoch"] <= step_size]
                target[row][:, shared["epoch"] - 1] = shared[name]
            decayed = of_family[of_family["step_size"] > 0]
            target[
                np.searchsorted(self.step_sizes, decayed["step_size"]),
                np.searchsorted(self.gammas, decayed["gamma"]),
                decayed["epoch"] - 1,
            ] = decayed[name]
        return values

    @cached_property
    def trained(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Epochs that each run takes, the one in which it diverges among them."""
        return np.isfinite(self.column("epoch")).sum(axis=1)

    @cached_property
    def val_loss(self) -> Values:
        """val_loss as (points, epochs); infinite from the epoch on in which a run diverged."""
        return _endless(self.column("val_loss"), self.trained)

    @cached_property
    def searched(self) -> Values:
        """Lowest val_loss of each point from the searched seed."""
        return self.val_loss.min(axis=1)

    @cached_property
    def means(self) -> Values:
        """Mean over the unseen seeds of the lowest val_loss of each point; NaN without any."""
        if not self.unseen:
            return np.full(len(self._points), np.nan)
        lowest = []
        for seed in self.unseen:
            trained = np.isfinite(self.column("epoch", seed)).sum(axis=1)
            lowest.append(_endless(self.column("val_loss", seed), trained).min(axis=1))
        return np.mean(lowest, axis=0)

    def regret_searched(self, point: Point) -> float:
        """How far a point's lowest val_loss is above the table's, as a fraction."""
        return float(self.searched[self._index[point]] / self.searched.min() - 1)

    def regret_unseen(self, point: Point) -> float:
        """How far a point is above the best one on the unseen seeds, as a fraction; NaN if none."""
        return float(self.means[self._index[point]] / self.means.min() - 1)

    def _read(self, seed: int) -> pd.DataFrame:
        rows = pd.read_parquet(self._folder / f"{self.problem}-{seed}.parquet")
        return rows.assign(
            optimizer=rows["optimizer"].astype(object),
            step_size=rows["step_size"].astype(int),
            epoch=rows["epoch"].astype(int),
            gamma=rows["gamma"].astype(float).round(6),  # 0.1, not its nearest float32
        )

    def _is_whole(self, seed: int) -> bool:
        rows = self._read(seed)
        present = {*rows[["optimizer", "lr"]].itertuples(index=False, name=None)}
        return all((name, lr) in present for name, rates in self.rates.items() for lr in rates)


def _endless(values: Values, trained: np.ndarray[Any, np.dtype[np.int64]]) -> Values:
    """The values, infinite from the epoch on in which a run diverged."""
    epochs = np.arange(1, values.shape[1] + 1)
    last = np.take_along_axis(values, trained[:, None] - 1, axis=1)[:, 0]
    cut = (trained < values.shape[1]) | ~np.isfinite(last)
    after = cut[:, None] & (epochs >= trained[:, None])
    return np.where(after, np.inf, values)
