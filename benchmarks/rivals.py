"""Replay searches of other tools on the tables, each as its documents show it, without training.

    python3 -m venv rivals-venv
    rivals-venv/bin/pip install -r benchmarks/rivals-requirements.txt
    rivals-venv/bin/python benchmarks/rivals.py digits --seeds 50

Every study is a row of `results/rivals.parquet`, written as soon as it ends: stopping loses one
study, and the same command goes on. Rows of a table that has grown since are replayed anew; new
unseen seeds only update the regrets. Search seeds take turns with the seeds of the weights.

What all have in common: one worker; 50 trials of at most 20 epochs; val_loss from the weights of
one seed; the winner is the trial with the lowest val_loss in any epoch. Epochs are those that a
tool requests, also if it requests one twice; a trial that Syne Tune resumes goes on where it was
paused. SMAC3's trials are calls with a budget of 3, 7 or 20 epochs, each from scratch. A trial that
diverges ends in that epoch, and its tool is told so as its users would: pruned in Optuna, a loss of
5 elsewhere. After its 50 trials a search goes on until it has trained 1,000 epochs, so that all can
be compared at equal epochs; this changes none of the figures of 50 trials. Those that fit Gaussian
processes, and SMAC3, whose initial design depends on the number of trials, stop instead, and keep
their incumbent.

Syne Tune's schedulers are called as its Tuner calls them; its simulator would add only a clock.
Not replayed: freeze-thaw with ifBO, which downloads its weights at first use (no package has them).
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from requested import HORIZON, Enough, Rows, Study
from searches import Search, optuna_study, ray_tune, smac_multi_fidelity, syne_tune
from tabulated import TABLES, Tables

RESULTS = Path(__file__).parent / "results"


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
    "SMAC3 multi-fidelity": Rival(package="smac", search=smac_multi_fidelity(), horizon=0),
    "Ray Tune ASHA, OptunaSearch": Rival(package="ray", search=ray_tune()),
}


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
    tables = Tables(given.problem, given.tables)
    rows = Rows(given.results, tables)
    for seed in range(given.seeds):
        for name in given.rivals:
            if rows.has(name, seed):
                continue
            rival = RIVALS[name]
            began = time.perf_counter()
            study = Study(tables.of(seed), horizon=rival.horizon)
            with suppress(Enough):
                rival.search(study, seed)
            seconds = time.perf_counter() - began
            identity = {
                "rival": name,
                "version": f"{rival.package} {version(rival.package)}",
                "search_seed": seed,
            }
            row = rows.add(identity | study.row())
            print(
                f"{given.problem} {name} seed {seed}: {study.ended_at} epochs, "
                f"regret {row['regret_searched']:.3f}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
