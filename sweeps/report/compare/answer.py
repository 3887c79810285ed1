"""The answer of a comparison: one sentence, and caveats."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sweeps.report.compare.confirmed import BEST_VERDICT, LEAST_SEEDS, TIED, TOO_FEW, WORSE
from sweeps.report.showing import rounded, size

FEW_TRIALS = 5
"""Fewer trials do not show what a value can reach."""

_ALIKE = 0.01  # relative difference that counts as noise if no repeats measure the noise


def sentence(values: pd.DataFrame, objective: str, parameter: str, *, maximize: bool) -> str:
    """Say which value is best, or why the results do not show it.

    Args:
        values: see `sweeps.report.compare.comparison.Comparison`.
        objective: name of the metric.
        parameter: name of the compared parameter.
        maximize: whether a higher value of the metric is better.
    """
    if values["trial"].isna().all():
        return f"No trial has a result yet, so no {parameter} can be said to be best."
    first, others = values.iloc[0], values.iloc[1:]
    kind = "highest" if maximize else "lowest"
    if first["verdict"] != BEST_VERDICT:
        had = "none was trained" if not first["seeds"] else f"it was trained from {first['seeds']}"
        return (
            f"Which {parameter} is best is not confirmed: {first['value']} has the {kind} "
            f"{objective} of a single seed, {rounded(first['best'])} (trial "
            f"{first['trial']}), but it takes {LEAST_SEEDS} other seeds to tell, and {had}."
        )
    mean = (
        f"{rounded(first['mean'])} (95 %: {rounded(first['low'])} to "
        f"{rounded(first['high'])} over {first['seeds']} seeds)"
    )
    if others.empty:
        return f"{first['value']} is the only {parameter} that was tried: {objective} {mean}."
    tied = others.loc[others["verdict"] == TIED, "value"].tolist()
    tail = "; more trials may change that" if any(_of_trials(values, maximize=maximize)) else ""
    if len(tied) == len(others):
        return (
            f"The budget was too small to tell which {parameter} is best: {first['value']} has the "
            f"{kind} mean {objective}, {mean}, but {_tie_clause(tied)} with it{tail}."
        )
    clauses = [f"{first['value']} is best: {objective} {mean}"]
    clauses += [f"{_tie_clause(tied)} with it"] if tied else []
    clauses += _worse(first, others[others["verdict"] == WORSE], maximize=maximize)
    unknown = others[others["verdict"] == TOO_FEW]
    without = unknown.loc[unknown["trial"].isna(), "value"].tolist()
    found = unknown.loc[unknown["trial"].notna(), "value"].tolist()
    clauses += [f"{_listed(found)} {_verb(found, 'was', 'were')} not confirmed"] if found else []
    clauses += [f"no trial of {_listed(without)} has a result"] if without else []
    return "; ".join(clauses) + f"{tail}."


def doubts(values: pd.DataFrame, *, maximize: bool) -> Iterable[str]:
    """Sentences on what more trials or seeds may change; for the arguments see `sentence`."""
    for row in values.to_dict("records"):
        if row["lost"]:
            yield (
                f"The best configuration of {row['value']}, trial {row['trial']}, diverged or "
                f"failed from {row['lost']} of {row['lost'] + row['seeds']} other seeds."
            )
        if not pd.isna(row["later"]):
            yield (
                f"Trial {row['later']} of {row['value']} is better than its trial {row['trial']}, "
                "but only that one was trained from other seeds."
            )
    yield from _of_trials(values, maximize=maximize)


def _of_trials(values: pd.DataFrame, *, maximize: bool) -> Iterable[str]:
    """Sentences on the values whose rank more trials may change."""
    counts = values["n"]
    few = values[counts < FEW_TRIALS]
    if len(few):
        names = [f"{value} ({n})" for value, n in zip(few["value"], few["n"], strict=True)]
        yield f"Fewer than {FEW_TRIALS} trials: {_listed(names)}."
    noise = _noise(values)
    settled = values["verdict"].iloc[0] == BEST_VERDICT and (values["verdict"][1:] == WORSE).all()
    for at, row in enumerate(values.to_dict("records")):
        if counts[at] < FEW_TRIALS or (settled and at == 0):
            continue  # a value that is clearly best stays best if it improves
        is_behind = row["verdict"] == WORSE and not row["lost"]
        lag = min(abs(row["difference_low"]), abs(row["difference_high"])) if is_behind else 0.0
        if row["gain"] > max(noise, lag):
            word = "rose" if maximize else "fell"
            yield (
                f"The expected best of {row['value']} {word} by {rounded(row['gain'])} over the "
                f"second half of its {counts[at]} trials, so more trials may improve it."
            )
        elif row["is_last"] and not is_behind:
            yield f"The best trial of {row['value']} is its last, so more trials may improve it."


def _noise(values: pd.DataFrame) -> float:
    """Standard deviation between seeds; without repeats a small share of the best value."""
    known = values.loc[values["seeds"] >= LEAST_SEEDS, "std"]
    if len(known):
        return float(np.sqrt((known**2).mean()))
    return _ALIKE * abs(float(values["best"].iloc[0]))


def _worse(best: pd.Series, worse: pd.DataFrame, *, maximize: bool) -> list[str]:
    """Clauses that say which values are worse, and by how much."""
    lost, clear = worse[worse["lost"] > 0], worse[worse["lost"] == 0]
    clauses = []
    if len(clear):
        is_share = not maximize and best["mean"] > 0
        sizes = clear["difference"].abs() * (100 / best["mean"] if is_share else 1)
        ends = dict.fromkeys(size(it) for it in (sizes.min(), sizes.max()))
        names = clear["value"].tolist()
        by = " to ".join(ends) + (" %" if is_share else "")
        clauses.append(f"{_listed(names)} {_verb(names, 'is', 'are')} worse by {by}")
    if len(lost):
        names = lost["value"].tolist()
        verb = _verb(names, "is", "are")
        clauses.append(f"{_listed(names)} {verb} worse, having diverged or failed from some")
    return clauses


def _tie_clause(names: list[str]) -> str:
    return f"{_listed(names)} {_verb(names, 'ties', 'tie')}"


def _verb(names: list[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _listed(names: list[str]) -> str:
    """Join the names as an English list."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
