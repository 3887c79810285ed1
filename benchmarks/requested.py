"""What a search requests of a table, epoch by epoch, and the rows of figures that gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulated import Point, Tables, Tabulated

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
    """Rows of a table with the regrets of winner and incumbents, from what the table knows."""
    points = pd.DataFrame(table.points())
    columns: dict[str, Any] = {
        name: points[name].to_numpy()[rows["winner"].to_numpy(int)] for name in Point._fields
    }
    for kind, regrets in table.regrets.items():
        columns[f"regret_{kind}"] = regrets[rows["winner"].to_numpy(int)]
        for mark in MARKS:
            columns[f"{kind}_{mark}"] = regrets[rows[f"incumbent_{mark}"].to_numpy(int)]
    return rows.assign(**columns, unseen_seeds=len(table.unseen))


class Rows:
    """The rows of a file of results, a study each.

    Those of other problems are kept as they are; those of tables that have grown, or that another
    seed of the weights would be searched in by now, are gone.

    Args:
        path: of the file, which need not be there.
        tables: of the problem.
        judge: gives rows of a table its regrets, which new unseen seeds change.
    """

    def __init__(
        self,
        path: Path,
        tables: Tables,
        judge: Callable[[pd.DataFrame, Tabulated], pd.DataFrame] = with_regrets,
    ) -> None:
        self._path, self._tables, self._judge = path, tables, judge
        self._frame = pd.DataFrame()
        if not path.exists():
            return
        known = pd.read_parquet(path)
        mine = known["problem"] == tables.problem
        kept = [known[~mine]]
        for search_seed, of_seed in known[mine].groupby("search_seed"):
            table = tables.of(int(search_seed))
            fresh = (of_seed["weights"] == table.seed) & (of_seed["families"] == table.families)
            kept += [judge(of_seed[fresh], table)] if fresh.any() else []
        self._frame = pd.concat([it for it in kept if len(it)] or [known[:0]], ignore_index=True)
        self._write()

    def has(self, rival: str, search_seed: int) -> bool:
        """Whether the study is there."""
        if self._frame.empty:
            return False
        here = self._frame[self._frame["problem"] == self._tables.problem]
        return bool(((here["rival"] == rival) & (here["search_seed"] == search_seed)).any())

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write a study's row; with its regrets."""
        table = self._tables.of(row["search_seed"])
        named = {"problem": table.problem, "weights": table.seed, "families": table.families}
        judged = self._judge(pd.DataFrame([named | row]), table)
        self._frame = pd.concat([self._frame, judged], ignore_index=True)
        self._write()
        (shown,) = judged.to_dict("records")
        return shown

    def _write(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        self._frame.to_parquet(temporary, compression="zstd", index=False)
        temporary.replace(self._path)
