"""A problem whose every configuration was trained: curves by lookup, and the regret of a winner.

    table = Tabulated("digits", seed=0)
    table.curve("SGD", 0.1, 4, 0.5)  # val_loss of epochs 1, 2, ...
    table.regrets["unseen"][table.index(Point("SGD", 0.1, 4, 0.5))]

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

NEAR = 0.05
"""Families that are farther off than this share on one seed are not needed of another."""

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
    table that is still being made can be searched. A seed counts as unseen once its file has those
    of these families that come near the best; of the others what the searched seed shows stands.

    Args:
        problem: name of the table.
        seed: of the weights that are searched.
        folder: where the tables are.

    Attributes:
        rates: sorted learning rates by optimizer.
        step_sizes: sorted; the last one is the constant rate.
        gammas: sorted.
        epochs: of a whole run.
        near: families whose lowest val_loss is at most a twentieth above that of the table.
        unseen: the other seeds that have these.
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
        lowest = self._rows.groupby(["optimizer", "lr"])["val_loss"].min()
        self.near = {*lowest.index[lowest <= (1 + NEAR) * lowest.min()]}
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
    def lowest_unseen(self) -> Values:
        """Lowest val_loss as (unseen seeds, points); NaN where unknown."""
        lowest = np.full((len(self.unseen), len(self._points)), np.nan)
        for of_seed, seed in zip(lowest, self.unseen, strict=True):
            values = self.column("val_loss", seed)
            trained = np.isfinite(self.column("epoch", seed)).sum(axis=1)
            known = trained > 0
            of_seed[known] = _endless(values[known], trained[known]).min(axis=1)
        return lowest

    @cached_property
    def regrets(self) -> dict[str, Values]:
        """How far each point's lowest val_loss is above the best one's, as a fraction.

        `searched` on the searched seed; `unseen` on average on the others, NaN without any.
        """
        return {
            "searched": self.searched / self.searched.min() - 1,
            "unseen": self.regrets_on(len(self.unseen)),
        }

    def regrets_on(self, seeds: int) -> Values:
        """The same on average on so many of the unseen seeds."""
        if not seeds:
            return np.full(len(self._points), np.nan)
        means = self.lowest_unseen[:seeds].mean(axis=0)
        unseen = means / np.nanmin(means) - 1
        return np.where(np.isnan(unseen), self.searched / self.searched.min() - 1, unseen)

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
        return self.near <= {*rows[["optimizer", "lr"]].itertuples(index=False, name=None)}


class Tables:
    """The tables of a problem; search seeds take turns with them, as one seed's luck is one.

    Args:
        problem: name of the tables.
        folder: where they are.

    Attributes:
        problem: as given.
        seeds: of the weights, of the tables with most families.
    """

    def __init__(self, problem: str, folder: Path = TABLES) -> None:
        self.problem, self._folder = problem, folder
        self._made: dict[int, Tabulated] = {}
        families = {
            int(path.stem.rpartition("-")[2]): len(
                pd.read_parquet(path, columns=["optimizer", "lr"]).drop_duplicates()
            )
            for path in folder.glob(f"{problem}-*.parquet")
        }
        self.seeds = sorted(it for it, n in families.items() if n == max(families.values()))

    def of(self, search_seed: int) -> Tabulated:
        """The table that a study of this search seed searches."""
        seed = self.seeds[search_seed % len(self.seeds)]
        if seed not in self._made:
            self._made[seed] = Tabulated(self.problem, seed, self._folder)
        return self._made[seed]


def _endless(values: Values, trained: np.ndarray[Any, np.dtype[np.int64]]) -> Values:
    """The values, infinite from the epoch on in which a run diverged."""
    epochs = np.arange(1, values.shape[1] + 1)
    last = np.take_along_axis(values, trained[:, None] - 1, axis=1)[:, 0]
    cut = (trained < values.shape[1]) | ~np.isfinite(last)
    after = cut[:, None] & (epochs >= trained[:, None])
    return np.where(after, np.inf, values)
