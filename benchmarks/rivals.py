"""Replay searches of other tools on the tables, each as its documents show it, without training.

    python3 -m venv rivals-venv
    rivals-venv/bin/pip install -r benchmarks/rivals-requirements.txt
    rivals-venv/bin/python benchmarks/rivals.py digits --seeds 50

Every study is a row of `results/rivals.parquet`, written as soon as it ends: stopping loses one
study, and the same command goes on. Rows of a table that has grown since are replayed anew; new
unseen seeds only update the regrets.

What all have in common: one worker; 50 trials of at most 20 epochs; val_loss from the weights of
seed 0. Epochs are those that a tool requests, also if it requests one twice; a trial that is
resumed goes on where it was paused. A trial that diverges ends in that epoch, and its tool is told
so as its users would: pruned in Optuna, a loss of 5 elsewhere (twice that of guessing). After its
50 trials a tool searches on until it has trained `HORIZON` epochs (if it can), so that all can be
compared at equal epochs; that changes none of the figures of 50 trials.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulated import TABLES, Point, Tabulated

RESULTS = Path(__file__).parent / "results"
TRIALS = 50
HORIZON = 1000
MARKS = (25, 50, 75, 100, 150, 200, 250, 300, 400, 600, 800, 1000)
"""Epochs after which the incumbent is looked up."""
DIVERGED = 5.0


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


Search = Callable[[Study, int], None]
"""Requests epochs of a study until it is over; takes the search seed."""


def optuna_study(sampler: str, pruner: str | None = None, **arguments: Any) -> Search:
    """A study of Optuna's: the objective reports each epoch and returns the lowest val_loss."""

    def search(study: Study, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        table = study.table

        def objective(trial: optuna.Trial) -> float:
            optimizer = trial.suggest_categorical("optimizer", list(table.rates))
            rates = table.rates[optimizer]
            place = trial.suggest_int(f"lr_{optimizer}", 0, len(rates) - 1)
            low, high = table.step_sizes[0], table.step_sizes[-1]
            step_size = trial.suggest_int("step_size", low, high, step=low)
            number = trial.suggest_int("gamma", 0, len(table.gammas) - 1)
            run = study.start(Point(optimizer, rates[place], step_size, table.gammas[number]))
            lowest = np.inf
            for epoch, value in enumerate(run.values(), 1):
                if not np.isfinite(value):
                    raise optuna.TrialPruned
                lowest = min(lowest, value)
                if pruner is not None:
                    trial.report(value, epoch)
                    if trial.should_prune():
                        raise optuna.TrialPruned
            return float(lowest)

        optuna.create_study(
            study_name=str(seed),  # from which Hyperband draws brackets
            sampler=getattr(optuna.samplers, sampler)(seed=seed),
            pruner=getattr(optuna.pruners, pruner or "NopPruner")(**arguments),
        ).optimize(objective)

    return search


def syne_tune(scheduler: str, **options: Any) -> Search:
    """A scheduler of Syne Tune's that pauses and resumes trials, called as its Tuner would."""

    def search(study: Study, seed: int) -> None:
        from syne_tune.backend.trial_status import Trial as TheirTrial
        from syne_tune.config_space import choice, finrange, logordinal
        from syne_tune.optimizer import legacy_baselines

        table = study.table
        space = {
            "optimizer": choice(list(table.rates)),
            "step_size": finrange(
                table.step_sizes[0], table.step_sizes[-1], len(table.step_sizes), cast_int=True
            ),
            "gamma": finrange(table.gammas[0], table.gammas[-1], len(table.gammas)),
            "epochs": table.epochs,
        } | {f"lr_{name}": logordinal(list(rates)) for name, rates in table.rates.items()}
        made = getattr(legacy_baselines, scheduler)(
            space,
            metric="val_loss",
            mode="min",
            resource_attr="epoch",
            max_resource_attr="epochs",
            random_seed=seed,
            **options,
        )
        runs: list[tuple[TheirTrial, Trial]] = []
        while (suggestion := made.suggest(len(runs))) is not None:
            if suggestion.spawn_new_trial_id:
                config = suggestion.config
                optimizer = config["optimizer"]
                gamma = min(table.gammas, key=lambda value: abs(value - config["gamma"]))
                point = Point(optimizer, config[f"lr_{optimizer}"], config["step_size"], gamma)
                theirs = TheirTrial(len(runs), config, None)
                runs.append((theirs, study.start(point)))
                made.on_trial_add(theirs)
            else:
                theirs = runs[suggestion.checkpoint_trial_id][0]
                if suggestion.config is not None:
                    theirs.config = suggestion.config
            _, run = runs[theirs.trial_id]
            epochs = range(run.trained + 1, table.epochs + 1)
            for epoch in epochs:
                # one that diverged has nothing more to train, and is as bad at every later rung
                value = DIVERGED if run.is_over else run.epoch()
                result = {"val_loss": min(value, DIVERGED), "epoch": epoch}
                decision = made.on_trial_result(theirs, result)
                if decision != "CONTINUE":
                    made.on_trial_remove(theirs)
                    break
            else:
                made.on_trial_complete(theirs, result)

    return search


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A tool's search.

    Attributes:
        package: whose version is stored.
        search: requests epochs of a study until it is over; takes the search seed.
        horizon: epochs until which it goes on after its trials; 0 for not at all.
    """

    package: str
    search: Search
    horizon: int = HORIZON


RIVALS = {
    "Optuna TPE": Rival(package="optuna", search=optuna_study("TPESampler")),
    "Optuna TPE, MedianPruner": Rival(
        package="optuna", search=optuna_study("TPESampler", "MedianPruner")
    ),
    "Optuna TPE, HyperbandPruner": Rival(
        package="optuna",
        search=optuna_study("TPESampler", "HyperbandPruner", min_resource=1, max_resource=20),
    ),
    "Optuna random": Rival(package="optuna", search=optuna_study("RandomSampler")),
    "Syne Tune ASHA": Rival(package="syne-tune", search=syne_tune("ASHA", type="promotion")),
    "Syne Tune BOHB": Rival(package="syne-tune", search=syne_tune("BOHB", type="promotion")),
    "Syne Tune MOBSTER": Rival(
        package="syne-tune", search=syne_tune("MOBSTER", type="promotion"), horizon=0
    ),
    "Syne Tune HyperTune": Rival(
        package="syne-tune", search=syne_tune("HyperTune", type="promotion", brackets=4), horizon=0
    ),
    "Syne Tune DyHPO": Rival(package="syne-tune", search=syne_tune("DyHPO"), horizon=0),
}


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


def main() -> None:
    """Replay what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("problem")
    parser.add_argument("--rivals", nargs="+", default=list(RIVALS), choices=RIVALS)
    parser.add_argument("--seeds", type=int, default=50, help="search seeds 0, 1, ... of each")
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--results", type=Path, default=RESULTS / "rivals.parquet")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    table = Tabulated(given.problem, folder=given.tables)
    known = pd.read_parquet(given.results) if given.results.exists() else pd.DataFrame()
    if len(known):
        of_this = known["problem"] == given.problem
        fresh = known[of_this & (known["families"] == table.families)]
        known = pd.concat([known[~of_this], with_regrets(fresh, table)], ignore_index=True)
    done = (
        {*known[["problem", "rival", "search_seed"]].itertuples(index=False, name=None)}
        if len(known)
        else set()
    )
    for seed in range(given.seeds):
        for name in given.rivals:
            if (given.problem, name, seed) in done:
                continue
            rival = RIVALS[name]
            began = time.perf_counter()
            study = Study(table, horizon=rival.horizon)
            with suppress(Enough):
                rival.search(study, seed)
            seconds = time.perf_counter() - began
            identity = {
                "problem": given.problem,
                "rival": name,
                "version": f"{rival.package} {version(rival.package)}",
                "search_seed": seed,
            }
            row = with_regrets(pd.DataFrame([identity | study.row()]), table)
            known = pd.concat([known, row], ignore_index=True)
            given.results.parent.mkdir(exist_ok=True)
            temporary = given.results.with_suffix(".tmp")
            known.to_parquet(temporary, compression="zstd", index=False)
            temporary.replace(given.results)
            print(
                f"{given.problem} {name} seed {seed}: {study.ended_at} epochs, "
                f"regret {row['regret_searched'].item():.3f}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
