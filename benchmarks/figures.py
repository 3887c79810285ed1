"""Markdown tables of replayed searches: medians over search seeds, with 95 % intervals.

    python benchmarks/figures.py [--problem digits] [--results benchmarks/results]

Reads `results/rivals.parquet` (see `rivals.py`) and `results/ours.parquet`, which has the same
columns. Intervals are percentiles of the medians of 10,000 bootstrap samples of the studies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

RESULTS = Path(__file__).parent / "results"
SAMPLES = 10_000


def interval(values: pd.Series[float]) -> tuple[float, float, float]:
    """Median of the values, and the bounds of its 95 % bootstrap interval."""
    known = values.to_numpy(float)
    if np.isnan(known).any():
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(0).choice(known, (SAMPLES, len(known)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(known)), float(low), float(high)


def percent(values: pd.Series[float]) -> str:
    """Median and interval of regrets."""
    middle, low, high = interval(values)
    if np.isnan(middle):
        return "unknown"
    return f"{100 * middle:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def count(values: pd.Series[float]) -> str:
    """Median and interval of epochs."""
    middle, low, high = interval(values)
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def winners(studies: pd.DataFrame) -> pd.DataFrame:
    """What the studies of a problem end with, a row for each search, the best first."""
    by = studies.groupby("rival")
    order = by["regret_unseen"].median().fillna(by["regret_searched"].median()).sort_values()
    rows = {
        name: {
            "studies": str(len(of_rival)),
            "regret on unseen seeds, %": percent(of_rival["regret_unseen"]),
            "on the searched seed, %": percent(of_rival["regret_searched"]),
            "epochs requested": count(of_rival["epochs_requested"]),
            "diverged, %": f"{100 * of_rival['share_diverged'].mean():.1f}",
            "version": ", ".join(sorted({*of_rival["version"]})),
        }
        for name, of_rival in ((name, by.get_group(name)) for name in order.index)
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def at_equal_epochs(studies: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Median regret of the incumbents after so many epochs, in percent.

    Args:
        studies: of a problem.
        kind: of regret, unseen or searched.
    """
    marks = [name for name in studies.columns if name.startswith(f"{kind}_") and name[-1].isdigit()]
    medians = 100 * studies.groupby("rival")[marks].median()
    return medians.rename(columns=lambda name: name.rpartition("_")[2]).map("{:.1f}".format)


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table, its index being the first column."""
    lines = [["search", *frame.columns], ["---"] * (1 + len(frame.columns))]
    lines += [[str(name), *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    """Print the figures of each problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problem", help="this one alone")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    files = [given.results / "ours.parquet", given.results / "rivals.parquet"]
    found = [pd.read_parquet(file) for file in files if file.exists()]
    if not found:
        parser.error(f"no results in {given.results}: run rivals.py first.")
    studies = pd.concat(found)
    for problem, of_problem in studies.groupby("problem"):
        if given.problem not in (None, problem):
            continue
        families, unseen = (int(of_problem[it].min()) for it in ("families", "unseen_seeds"))
        print(f"## {problem}: {families} pairs of optimizer and rate, {unseen} unseen seeds\n")
        print(markdown(winners(of_problem)) + "\n")
        for kind in ("unseen", "searched"):
            if kind == "searched" or unseen:
                where = "unseen seeds" if kind == "unseen" else "the searched seed"
                print(f"Median regret on {where}, %, of the incumbent after so many epochs:\n")
                print(markdown(at_equal_epochs(of_problem, kind)) + "\n")


if __name__ == "__main__":
    main()
