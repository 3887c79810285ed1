"""Train every point of a problem once, so that searches can be replayed without training.

    python benchmarks/table.py cifar10 --seeds 0 1 2 [--data-dir ./dataset]
    python benchmarks/table.py digits --seeds 0 1 2
    python benchmarks/table.py cifar10 --seeds 1 2 --near 0

A point is an optimizer, a rate, a step_size and a gamma (StepLR). Those of one optimizer and rate
are a family and share what their rates share: 470 epochs give all 50 schedules of 20 epochs. A
family is written when it is whole, so that making a table can be stopped and goes on. `--near`
trains only the families that come near the best of another seed: what a winner gives on unseen
seeds needs no others.

A row of `tables/PROBLEM-SEED.parquet` is a distinct epoch. step_size and gamma are 0 until the
first decay: that epoch belongs to every schedule of the family that decays later. `probe` is the
val_loss after one more epoch at a tenth of the rate, beside the run, for some epochs. What comes
after an epoch that diverged has no row.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from problems import GAMMAS, PROBES, PROBLEMS, STEP_SIZES, Problem
from tabulated import Tabulated

from trainer.data import Data, prepare
from trainer.metrics import DIVERGENCE_FACTOR
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Stage, plan
from trainer.stages.stage import data_of
from trainer.training.loop import Training
from trainer.training.recipe import Recipe

FOLDER = Path(__file__).parent / "tables"
FAMILY = ["optimizer", "lr"]
POINT = [*FAMILY, "step_size", "gamma", "epoch"]
VALUES = ["train_loss", "val_loss", "val_accuracy", "first_batch_loss", "probe"]


@dataclass
class Family:
    """All schedules of one optimizer and rate.

    Args:
        config: of one of them.
        data: that it trains on.
    """

    config: TrainConfig
    data: Data

    def __post_init__(self) -> None:
        self._training = Training(Recipe(self.config, self.data))
        self._first = math.nan

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each distinct epoch."""
        initial = copy.deepcopy(self._training.state_dict())
        states: dict[int, dict[str, Any]] = {}
        constant = replace(self.config, step_size=self.config.epochs, gamma=0.5)
        yield from self._train(constant, initial, 1, keep=states)
        for step_size in STEP_SIZES:
            if step_size not in states or step_size == self.config.epochs:
                continue  # the family had diverged by then, or this is the constant rate
            for gamma in GAMMAS:
                decayed = replace(self.config, step_size=step_size, gamma=gamma)
                yield from self._train(decayed, states[step_size], step_size + 1)

    def _train(
        self,
        config: TrainConfig,
        state: dict[str, Any],
        start: int,
        keep: dict[int, dict[str, Any]] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The epochs of a config from `start` on; `keep` takes the states after each."""
        self._training.load_state_dict(copy.deepcopy(state))
        for stage in plan(Recipe(config, self.data))[start:]:
            row = self._epoch(stage)
            decayed = {} if keep is not None else {"step_size": config.step_size}
            point = {"step_size": 0, "gamma": 0.0} | (
                decayed | {"gamma": config.gamma} if decayed else {}
            )
            row = {"optimizer": config.optimizer, "lr": config.lr, **point, **row}
            diverged = not (math.isfinite(row["train_loss"]) and math.isfinite(row["val_loss"]))
            diverged = diverged or row["train_loss"] > DIVERGENCE_FACTOR * self._first
            probed = stage.epoch in PROBES and not diverged
            if keep is not None or probed:
                after = copy.deepcopy(self._training.state_dict())
            if keep is not None:
                keep[stage.epoch] = after
            if probed:
                scalars = {**stage.rates.scalars, "lr": stage.rates.scalars["lr"] / 10}
                rates = replace(stage.rates, scalars=scalars)
                row["probe"] = self._epoch(replace(stage, epoch=stage.epoch + 1, rates=rates))[
                    "val_loss"
                ]
                self._training.load_state_dict(copy.deepcopy(after))
            yield row
            if diverged:
                if keep is not None:
                    del keep[stage.epoch]
                return

    def _epoch(self, stage: Stage) -> dict[str, Any]:
        _, train_loss, first = self._training.train(stage.epoch, stage.rates)
        val_loss, val_accuracy = self._training.validate()
        if stage.epoch == 1:
            self._first = first
        return {
            "epoch": stage.epoch,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "first_batch_loss": first,
            "probe": math.nan,
        }


def file_of(problem: str, seed: int) -> Path:
    """Where the table of a problem and seed lies."""
    return FOLDER / f"{problem}-{seed}.parquet"


def make(
    name: str, problem: Problem, seed: int, folder: Path, families: Iterable[tuple[str, float]]
) -> None:
    """Train what the table of this seed lacks of these families."""
    torch.set_num_threads(1)
    prepare(problem.base.dataset, folder)
    base = replace(problem.base, seed=seed)
    data = data_of(base, folder)
    path = file_of(name, seed)
    path.parent.mkdir(exist_ok=True)
    known = pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=[*POINT, *VALUES])
    done = {*known[FAMILY].itertuples(index=False, name=None)}
    for optimizer, lr in families:
        if (optimizer, lr) in done:
            continue
        began = time.perf_counter()
        family = Family(replace(base, optimizer=optimizer, lr=lr), data)
        rows = pd.DataFrame(family.rows())
        known = pd.concat([known, rows], ignore_index=True) if len(known) else rows
        typed = known.astype(
            {"step_size": "int8", "epoch": "int8", "gamma": "float32"}
            | dict.fromkeys(VALUES, "float32")
        )
        temporary = path.with_suffix(".tmp")
        typed.to_parquet(temporary, compression="zstd", index=False)
        temporary.replace(path)
        seconds = time.perf_counter() - began
        print(
            f"{name} seed {seed} {optimizer} {lr:g}: {len(rows)} epochs in {seconds:.0f} s, "
            f"best val_loss {rows['val_loss'].min():.4f}",
            flush=True,
        )


def main() -> None:
    """Make tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data-dir", type=Path, default=Path("dataset"))
    parser.add_argument("--near", type=int, metavar="SEED", help="whose best families are trained")
    given = parser.parse_args()
    problem = PROBLEMS[given.problem]
    families = problem.families
    if given.near is not None:
        near = Tabulated(given.problem, given.near, FOLDER).near
        families = [family for family in families if family in near]
    for seed in given.seeds:
        make(given.problem, problem, seed, given.data_dir, families)


if __name__ == "__main__":
    main()
