"""Comparison of the values of one parameter, each searched with the same number of trials.

The compared parameter is the "scientific" hyperparameter of the tuning playbook
(https://github.com/google-research/tuning_playbook), the others are the "nuisance" ones: each value
is judged by its best trial over these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.report.compare import answer
from sweeps.report.compare.confirmed import LEAST_SEEDS, TOO_FEW, WORSE, compare, interval
from sweeps.report.compare.expected import expected_best, expected_curve
from sweeps.report.compare.ranking import count_states
from sweeps.report.compare.scale import reach
from sweeps.report.reading.frames import StudyFrames
from sweeps.space.values import shown
from trainer.settings.references import is_reference
from trainer.tracking.record import BEST, DIVERGED, FAILED, RUNNING

_EXPECTED = ["value", "trials", "expected", "low", "high"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Comparison of the values of one parameter.

    Attributes:
        parameter: a column of the trials.
        values: one row per value, best first. Columns: value (as text), n (number of trials), one
            count per state in `sweeps.report.compare.ranking.STATES`.
            Of the best trial, which is the best confirmed one, else the best ranked one: trial
            (number; Int64), best (value of the objective), epochs and asked_epochs (trained and
            requested; Int64), params (searched parameters).
            Over the repeats of that trial: seeds (number of values), lost (number of repeats that
            diverged or failed), mean, std, low and high (95 % interval of the mean), difference
            (from the best value's trial, over the seeds of both), difference_low and
            difference_high (95 % interval), verdict (see `sweeps.report.compare.confirmed`).
            Also: is_last (whether the best trial is the last one that is not running), gain
            (improvement of the expected best over the second half of the trials), later (a better
            trial without repeats; Int64).
        expected: the expected best by number of trials; a trial that diverged or failed counts as
            the worst value of the study's scale. One row per value and number of trials: value,
            trials, expected, low, high (see `sweeps.report.compare.expected.expected_curve`).
        answer: one sentence: which value is best, or why the results do not show it.
        doubts: sentences on what more trials or seeds may change.
    """

    parameter: str
    values: pd.DataFrame
    expected: pd.DataFrame
    answer: str
    doubts: tuple[str, ...]


def compare_values(
    frames: StudyFrames, ranked: pd.DataFrame, searched: Sequence[str]
) -> Comparison | None:
    """Compare the values of the study's compared parameter.

    Args:
        frames: the study.
        ranked: its ranked trials, from `sweeps.report.compare.ranking.rank`.
        searched: columns of the trials that are searched parameters.

    Returns:
        None if the study compares no parameter, or has no trials.
    """
    parameter = frames.compare
    if not parameter or parameter not in frames.trials or frames.trials.empty:
        return None
    names = value_names(frames.trials.set_index("trial")[parameter].dropna())
    results = _results(frames, ranked, names)
    chosen = _best_trials(frames, ranked, names, [it for it in searched if it != parameter])
    values = _counts(frames, names).join(chosen).join(_gains(results, frames.maximize))
    values = values.join(_over_seeds(frames, values["trial"].dropna()), on="trial")
    counts = ["seeds", "lost"]
    values[counts] = values[counts].fillna(0).astype("int64")
    values["is_last"] = values["is_last"].eq(True)  # missing for a value without a result
    values["verdict"] = values["verdict"].fillna(TOO_FEW)
    values = _sorted(values, maximize=frames.maximize)
    doubts = tuple(answer.doubts(values, maximize=frames.maximize))
    return Comparison(
        parameter=parameter,
        values=values,
        expected=_expected(results, frames.maximize),
        answer=answer.sentence(values, frames.objective, parameter, maximize=frames.maximize),
        doubts=doubts,
    )


def value_names(column: pd.Series[Any]) -> pd.Series[str]:
    """Texts of the values; a reference to user code is shortened to its name if that is unique."""
    texts = pd.Series([shown(it) for it in column.tolist()], index=column.index, dtype="str")
    known = set(texts)
    short = {it: it.rpartition(":")[2] if is_reference(it) else it for it in known}
    return texts.map(short) if len(set(short.values())) == len(known) else texts


def _counts(frames: StudyFrames, names: pd.Series[str]) -> pd.DataFrame:
    """Number of trials per value and state, also for values of the space without trials."""
    listed = frames.space.get(frames.compare)
    untried = list(value_names(pd.Series(listed))) if isinstance(listed, list) else []
    counts = count_states(names, frames.trials.set_index("trial")["state"].reindex(names.index))
    return counts.reindex([*dict.fromkeys([*counts.index, *untried])], fill_value=0)


def _best_trials(
    frames: StudyFrames, ranked: pd.DataFrame, names: pd.Series[str], others: Sequence[str]
) -> pd.DataFrame:
    """The best trial of each value, by value."""
    again = compare(frames.repeats, maximize=frames.maximize)
    ended = frames.trials[frames.trials["state"] != RUNNING]
    last = ended.groupby(ended["trial"].map(names))["trial"].max()
    name, chosen = BEST + frames.objective, {}
    for value, rows in ranked.groupby(ranked["trial"].map(names)):
        by_trial = rows.set_index("trial", drop=False)
        first = by_trial.iloc[0]
        known = again.loc[again["trial"].isin(rows["trial"]), "trial"]
        row = by_trial.loc[known.iloc[0]] if len(known) else first
        is_better = first[name] != row[name] and first["trial"] not in set(known)
        chosen[value] = {
            "trial": row["trial"],
            "best": row[name],
            "epochs": row["epochs"],
            "asked_epochs": row["asked_epochs"],
            "params": {str(key): it for key, it in row[[*others]].dropna().to_dict().items()},
            "is_last": len(rows) > 1 and rows["trial"].iloc[0] == last[value],
            "later": first["trial"] if is_better else None,
        }
    columns = ["trial", "best", "epochs", "asked_epochs", "params", "is_last", "later"]
    frame = pd.DataFrame.from_dict(chosen, orient="index", columns=columns)
    whole = dict.fromkeys(("trial", "epochs", "asked_epochs", "later"), "Int64")
    return frame.astype({**whole, "best": "float64"})


def _over_seeds(frames: StudyFrames, trials: pd.Series[int]) -> pd.DataFrame:
    """Results of the repeats of the best trials, by trial.

    Trials with too few seeds are not compared: the best mean over few seeds may be luck.
    """
    repeats = frames.repeats[frames.repeats["trial"].isin(trials)]
    frame = compare(repeats, maximize=frames.maximize).set_index("trial")
    frame = frame.rename(columns={"diverged": "lost"})[["seeds", "lost", "mean", "std"]]
    for trial, values in repeats.dropna(subset="value").groupby("trial")["value"]:
        if len(values) >= LEAST_SEEDS:
            frame.loc[trial, ["low", "high"]] = interval(values.to_numpy())
    enough = frame.index[frame["seeds"] + frame["lost"] >= LEAST_SEEDS]
    against = compare(repeats[repeats["trial"].isin(enough)], maximize=frames.maximize).set_index(
        "trial"
    )
    if len(against):
        best = against.iloc[0]
        if best["diverged"] == 0:  # a trial that diverges for some seed is worse
            against.loc[against["diverged"] > 0, "verdict"] = WORSE
        if best["seeds"] < LEAST_SEEDS:
            against["verdict"] = TOO_FEW
    against = against[["difference", "low", "high", "verdict"]]
    return frame.reindex(columns=["seeds", "lost", "mean", "std", "low", "high"]).join(
        against.rename(columns={"low": "difference_low", "high": "difference_high"})
    )


def _results(
    frames: StudyFrames, ranked: pd.DataFrame, names: pd.Series[str]
) -> dict[str, NDArray[np.float64]]:
    """The results of each value's trials, clipped to the scale."""
    if ranked.empty:
        return {}
    maximize = frames.maximize
    values = ranked.set_index("trial")[BEST + frames.objective]
    end = reach(values, maximize=maximize)
    values = values.clip(lower=end) if maximize else values.clip(upper=end)
    lost = frames.trials.loc[frames.trials["state"].isin((DIVERGED, FAILED)), "trial"]
    values = pd.concat([values, pd.Series(end, index=lost)])
    return {
        str(value): rows.to_numpy(np.float64)
        for value, rows in values.groupby(values.index.map(names))
    }


def _gains(results: dict[str, NDArray[np.float64]], maximize: bool) -> pd.Series[float]:
    """Improvement of the expected best over the second half of the trials, by value."""
    gains = {
        value: abs(
            float(expected_best(it, len(it), maximize) - expected_best(it, len(it) // 2, maximize))
        )
        for value, it in results.items()
        if len(it) > 1
    }
    return pd.Series(gains, name="gain", dtype="float64")


def _expected(results: dict[str, NDArray[np.float64]], maximize: bool) -> pd.DataFrame:
    curves = [
        expected_curve(it, maximize).assign(value=value)[_EXPECTED] for value, it in results.items()
    ]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=_EXPECTED)


def _sorted(values: pd.DataFrame, *, maximize: bool) -> pd.DataFrame:
    """Sort the confirmed values by mean, then the others by best trial."""
    is_confirmed = values["verdict"] != TOO_FEW
    order = values.assign(
        last=~is_confirmed,
        unstable=is_confirmed & (values["lost"] > 0),
        by=values["mean"].where(is_confirmed, values["best"]),
    )
    order = order.rename_axis("value").reset_index()
    order = order.sort_values(
        ["last", "unstable", "by", "value"],
        ascending=[True, True, not maximize, True],
        ignore_index=True,
    )
    return order.drop(columns=["last", "unstable", "by"])
