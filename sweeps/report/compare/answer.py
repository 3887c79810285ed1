"""The result of comparing a parameter's values, as one sentence and its caveats."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sweeps.report.compare.confirmed import LEAST_SEEDS
from sweeps.report.showing import rounded, size
from trainer.metrics import OBJECTIVES

BEST_VALUE, TIED, WORSE, NOT_CONFIRMED = "best", "tied", "worse", "not confirmed"
"""Verdicts on a value: its best configuration has the best mean over enough other seeds; cannot be
told from that one by them; is worse by them; has no value from enough seeds."""

FEW_TRIALS = 5
"""Of fewer trials nothing can be said on what a value may reach."""

_ALIKE = 0.01  # relative difference below which values tie, if the noise between seeds is unknown


def sentence(values: pd.DataFrame, objective: str, parameter: str) -> str:
    """Which value is best, or why this is undecided.

    Args:
        values: see `sweeps.report.compare.comparison.Comparison`.
        objective: the metric trials are judged by.
        parameter: whose values are compared.
    """
    if values["trial"].isna().all():
        return f"No trial has a result yet, so no {parameter} can be said to be best."
    first, others = values.iloc[0], values.iloc[1:]
    kind = "highest" if OBJECTIVES[objective] else "lowest"
    if first["verdict"] != BEST_VALUE:
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
    tail = "; more trials may change that" if any(_of_trials(values, objective)) else ""
    if len(tied) == len(others):
        return (
            f"The budget was too small to tell which {parameter} is best: {first['value']} has the "
            f"{kind} mean {objective}, {mean}, but {_ties(tied)} with it{tail}."
        )
    clauses = [f"{first['value']} is best: {objective} {mean}"]
    clauses += [f"{_ties(tied)} with it"] if tied else []
    clauses += _worse(first, others[others["verdict"] == WORSE], objective)
    unknown = others[others["verdict"] == NOT_CONFIRMED]
    without = unknown.loc[unknown["trial"].isna(), "value"].tolist()
    found = unknown.loc[unknown["trial"].notna(), "value"].tolist()
    clauses += [f"{_all(found)} {_be(found, 'was', 'were')} not confirmed"] if found else []
    clauses += [f"no trial of {_all(without)} has a result"] if without else []
    return "; ".join(clauses) + f"{tail}."


def doubts(values: pd.DataFrame, objective: str) -> Iterable[str]:
    """Caveats: what more trials or seeds may change; arguments as for `sentence`."""
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
    yield from _of_trials(values, objective)


def _of_trials(values: pd.DataFrame, objective: str) -> Iterable[str]:
    """Values whose rank may change with more trials."""
    made = values["n"]
    few = values[made < FEW_TRIALS]
    if len(few):
        counts = (f"{value} ({n})" for value, n in zip(few["value"], made[few.index], strict=True))
        yield f"Fewer than {FEW_TRIALS} trials were made of {_all([*counts])}."
    noise = _noise(values)
    settled = values["verdict"].iloc[0] == BEST_VALUE and (values["verdict"][1:] == WORSE).all()
    for at, row in enumerate(values.to_dict("records")):
        if made[at] < FEW_TRIALS or (settled and at == 0):
            continue  # a clear winner stays the winner if it improves further
        is_behind = row["verdict"] == WORSE and not row["lost"]
        lag = min(abs(row["difference_low"]), abs(row["difference_high"])) if is_behind else 0.0
        if row["gain"] > max(noise, lag):
            word = "rose" if OBJECTIVES[objective] else "fell"
            yield (
                f"The expected best of {row['value']} {word} by {rounded(row['gain'])} over the "
                f"second half of its {made[at]} trials, so more may still better it."
            )
        elif row["is_last"] and not is_behind:
            yield f"The best trial of {row['value']} is its last, so more may still better it."


def _noise(values: pd.DataFrame) -> float:
    """Standard deviation over seeds, if there are seed replicates."""
    known = values.loc[values["seeds"] >= LEAST_SEEDS, "std"]
    if len(known):
        return float(np.sqrt((known**2).mean()))
    return _ALIKE * abs(float(values["best"].iloc[0]))


def _worse(best: pd.Series, worse: pd.DataFrame, objective: str) -> list[str]:
    """The values that are worse, with the differences, as clauses of a sentence."""
    lost, clear = worse[worse["lost"] > 0], worse[worse["lost"] == 0]
    clauses = []
    if len(clear):
        is_share = not OBJECTIVES[objective] and best["mean"] > 0
        sizes = clear["difference"].abs() * (100 / best["mean"] if is_share else 1)
        ends = dict.fromkeys(size(it) for it in (sizes.min(), sizes.max()))
        names = clear["value"].tolist()
        by = " to ".join(ends) + (" %" if is_share else "")
        clauses.append(f"{_all(names)} {_be(names, 'is', 'are')} worse by {by}")
    if len(lost):
        names = lost["value"].tolist()
        clauses.append(
            f"{_all(names)} {_be(names, 'is', 'are')} worse, having diverged or failed from some"
        )
    return clauses


def _ties(names: list[str]) -> str:
    return f"{_all(names)} {_be(names, 'ties', 'tie')}"


def _be(names: list[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _all(names: list[str]) -> str:
    """The names, joined in words."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
