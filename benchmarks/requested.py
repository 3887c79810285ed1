"""What a search requests of a table, epoch by epoch, and the row of figures that gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from tabulated import Point, Tabulated

TRIALS = 50
HORIZON = 1000
MARKS = (25, 50, 75, 100, 150, 200, 250, 300, 400, 600, 800, 1000)
"""Epochs after which the incumbent is looked up."""


class Enough(Exception):
    """The study has had its trials and its epochs."""


@dataclass
class Study:
    """What a search requests of a table, epoch by epoch.

    Args:
        table: that is searched.
        trials: whose figures are wanted.
        horizon: epochs until which the search may go on after these.
    """

    table: Tabulated
    trials: int = TRIALS
    horizon: int = HORIZON
    started: int = 0
    diverged: int = 0
    ended_at: int | None = None
    epochs: list[tuple[int, float]] = field(default_factory=list)

    def start(self, point: Point) -> Trial:
        """Begin a trial.

        Raises:
            Enough: the study is over.
        """
        if self.started == self.trials:
            self.end()
        if self.ended_at is not None and len(self.epochs) >= self.horizon:
            raise Enough
        self.started += 1
        return Trial(self, self.table.index(point))

    def end(self) -> None:
        """All trials wanted have had what the search gave them; later epochs are beyond."""
        if self.ended_at is None:
            self.ended_at = len(self.epochs)

    def record(self, index: int, value: float) -> None:
        """Note a trained epoch.

        Raises:
            Enough: the study is over.
        """
        if self.ended_at is not None and len(self.epochs) >= self.horizon:
            raise Enough
        self.epochs.append((index, value))
        if not np.isfinite(value) and self.ended_at is None:
            self.diverged += 1

    def row(self) -> dict[str, Any]:
        """Winner and incumbents, as positions in the table, and the counts."""
        self.end()
        lowest = np.inf
        incumbents = []
        for index, value in self.epochs:
            if value < lowest or not incumbents:
                lowest, best = value, index
            incumbents.append(best)
        return {
            "winner": incumbents[(self.ended_at or 0) - 1],
            "trials": min(self.started, self.trials),
            "epochs_requested": self.ended_at,
            "share_diverged": self.diverged / min(self.started, self.trials),
            "families": self.table.families,
        } | {f"incumbent_{mark}": incumbents[min(mark, len(incumbents)) - 1] for mark in MARKS}


@dataclass
class Trial:
    """A run that can be taken up again where it was left."""

    study: Study
    index: int
    trained: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it has diverged or trained all of its epochs."""
        return self.trained == self.study.table.trained[self.index]

    def epoch(self) -> float:
        """Train the next epoch; its val_loss, infinite if the run diverged in it."""
        value = float(self.study.table.val_loss[self.index, self.trained])
        self.trained += 1
        self.study.record(self.index, value)
        return value

    def values(self) -> Iterator[float]:
        """All epochs that are left."""
        while not self.is_over:
            yield self.epoch()


def with_regrets(rows: pd.DataFrame, table: Tabulated) -> pd.DataFrame:
    """Rows of a problem with the regrets of winner and incumbents, from what the table knows."""
    points = pd.DataFrame(table.points())
    columns: dict[str, Any] = {
        name: points[name].to_numpy()[rows["winner"]] for name in Point._fields
    }
    for kind, lowest in (("searched", table.searched), ("unseen", table.means)):
        regrets = lowest / lowest.min() - 1
        columns[f"regret_{kind}"] = regrets[rows["winner"]]
        for mark in MARKS:
            columns[f"{kind}_{mark}"] = regrets[rows[f"incumbent_{mark}"]]
    return rows.assign(**columns, unseen_seeds=len(table.unseen))
