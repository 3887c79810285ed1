"""Comparison of one parameter's values, each searched separately with as many trials.

The compared parameter is the "scientific" one of the tuning playbook
(https://github.com/google-research/tuning_playbook), the others are its "nuisance" parameters: each
value is judged by the best trial found for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.report.compare import answer, confirmed
from sweeps.report.compare.answer import BEST_VALUE, NOT_CONFIRMED, TIED, WORSE
from sweeps.report.compare.confirmed import LEAST_SEEDS, compare, interval
from sweeps.report.compare.expected import expected_best, expected_curve
from sweeps.report.compare.ranking import STATES
from sweeps.report.compare.scale import reach
from sweeps.report.reading.frames import StudyFrames
from sweeps.space.values import shown
from trainer.metrics import OBJECTIVES
from trainer.settings.references import is_reference
from trainer.tracking.record import BEST, DIVERGED, FAILED, RUNNING

_VERDICTS = {
    confirmed.BEST_VERDICT: BEST_VALUE,
    confirmed.TIED: TIED,
    confirmed.WORSE: WORSE,
    confirmed.TOO_FEW: NOT_CONFIRMED,
}
_EXPECTED = ["value", "trials", "expected", "low", "high"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """How the values of one parameter compare.

    Attributes:
        parameter: a column of the trials.
        values: one row per value, best first: value (as displayed), n (its trials), complete,
            pruned and so on (number in each of `sweeps.report.compare.ranking.STATES`);
            of its best configuration: trial (number of its best confirmed trial, else of its best
            ranked one; Int64), best (objective in the search), epochs and asked_epochs (trained and
            requested; Int64), params (searched parameters);
            of its seed replicates: seeds (number with a value), lost (number that diverged or
            failed), mean, low and high (95 % interval of the mean), difference (to the best
            configuration of all, over the seeds of both), difference_low and difference_high (its
            95 % interval), verdict (see `sweeps.report.compare.answer`); is_last (whether the best
            trial is the last one that ended or is suspended), gain (improvement of the expected
            best from half of the trials to all), later (a better trial that was not confirmed;
            Int64).
        expected: the expected best of the first trials of each value, where trials that diverged or
            failed count as the worst value on the study's scale; one row per value and number of
            trials: value, trials, expected, low, high (see
            `sweeps.report.compare.expected.expected_curve`).
        answer: one sentence: which value is best, or why this is undecided.
        doubts: caveats on what more trials or seeds may change.
    """

    parameter: str
    values: pd.DataFrame
    expected: pd.DataFrame
    answer: str
    doubts: tuple[str, ...]


def compare_values(
    frames: StudyFrames, ranked: pd.DataFrame, searched: Sequence[str]
) -> Comparison | None:
    """The comparison of the values of the parameter given by --compare.

    Args:
        frames: the study.
        ranked: result of `sweeps.report.compare.ranking.rank`.
        searched: columns of the trials that form a configuration.

    Returns:
        None if the study compares none, or has no trial.
    """
    parameter = frames.compare
    if not parameter or parameter not in frames.trials or frames.trials.empty:
        return None
    names = value_names(frames.trials.set_index("trial")[parameter].dropna())
    results = _results(frames, ranked, names)
    chosen = _best_trials(frames, ranked, names, [it for it in searched if it != parameter])
    values = _counts(frames, names).join(chosen).join(_gains(results, frames.objective))
    values = values.join(_over_seeds(frames, values["trial"].dropna()), on="trial")
    counts = ["seeds", "lost"]
    values[counts] = values[counts].fillna(0).astype("int64")
    values["is_last"] = values["is_last"].eq(True)  # missing for a value without a result
    values["verdict"] = values["verdict"].fillna(NOT_CONFIRMED)
    values = _sorted(values, maximize=OBJECTIVES[frames.objective])
    doubts = tuple(answer.doubts(values, frames.objective))
    return Comparison(
        parameter=parameter,
        values=values,
        expected=_expected(results, frames.objective),
        answer=answer.sentence(values, frames.objective, parameter),
        doubts=doubts,
    )


def value_names(column: pd.Series[Any]) -> pd.Series[str]:
    """Displayed names of values: of references the last part, if that is unique."""
    texts = pd.Series([shown(it) for it in column.tolist()], index=column.index, dtype="str")
    known = set(texts)
    short = {it: it.rpartition(":")[2] if is_reference(it) else it for it in known}
    return texts.map(short) if len(set(short.values())) == len(known) else texts


def _counts(frames: StudyFrames, names: pd.Series[str]) -> pd.DataFrame:
    """Number of trials of each value by state; includes values without trials."""
    listed = frames.space.get(frames.compare)
    untried = list(value_names(pd.Series(listed))) if isinstance(listed, list) else []
    states = pd.crosstab(names, frames.trials.set_index("trial")["state"].reindex(names.index))
    states = states.reindex([*dict.fromkeys([*states.index, *untried])], fill_value=0)
    frame = states.reindex(columns=list(STATES), fill_value=0)
    frame.insert(0, "n", states.sum(axis=1))
    return frame.rename_axis("value").rename_axis(columns=None)


def _best_trials(
    frames: StudyFrames, ranked: pd.DataFrame, names: pd.Series[str], others: Sequence[str]
) -> pd.DataFrame:
    """The best configuration of each value, by value."""
    again = compare(frames.repeats, frames.objective)
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
    """The seed replicates of the best configurations, by trial.

    Those with too few seeds are not compared with the others: the best mean of a few may be chance.
    """
    repeats = frames.repeats[frames.repeats["trial"].isin(trials)]
    frame = compare(repeats, frames.objective).set_index("trial")
    frame = frame.rename(columns={"diverged": "lost"})[["seeds", "lost", "mean", "std"]]
    for trial, values in repeats.dropna(subset="value").groupby("trial")["value"]:
        if len(values) >= LEAST_SEEDS:
            frame.loc[trial, ["low", "high"]] = interval(values.to_numpy())
    enough = frame.index[frame["seeds"] + frame["lost"] >= LEAST_SEEDS]
    against = compare(repeats[repeats["trial"].isin(enough)], frames.objective).set_index("trial")
    against["verdict"] = against["verdict"].map(_VERDICTS)
    if len(against):
        best = against.iloc[0]
        if best["diverged"] == 0:  # diverging with any seed is worse than never diverging
            against.loc[against["diverged"] > 0, "verdict"] = WORSE
        if best["seeds"] < LEAST_SEEDS:
            against["verdict"] = NOT_CONFIRMED
    against = against[["difference", "low", "high", "verdict"]]
    return frame.reindex(columns=["seeds", "lost", "mean", "std", "low", "high"]).join(
        against.rename(columns={"low": "difference_low", "high": "difference_high"})
    )


def _results(
    frames: StudyFrames, ranked: pd.DataFrame, names: pd.Series[str]
) -> dict[str, NDArray[np.float64]]:
    """Results of the trials of each value, limited to the scale."""
    if ranked.empty:
        return {}
    maximize = OBJECTIVES[frames.objective]
    values = ranked.set_index("trial")[BEST + frames.objective]
    end = reach(values, maximize=maximize)
    values = values.clip(lower=end) if maximize else values.clip(upper=end)
    lost = frames.trials.loc[frames.trials["state"].isin((DIVERGED, FAILED)), "trial"]
    values = pd.concat([values, pd.Series(end, index=lost)])
    return {
        str(value): rows.to_numpy(np.float64)
        for value, rows in values.groupby(values.index.map(names))
    }


def _gains(results: dict[str, NDArray[np.float64]], objective: str) -> pd.Series[float]:
    """By value: improvement of the expected best from half of the trials to all."""
    more = OBJECTIVES[objective]
    gains = {
        value: abs(float(expected_best(it, len(it), more) - expected_best(it, len(it) // 2, more)))
        for value, it in results.items()
        if len(it) > 1
    }
    return pd.Series(gains, name="gain", dtype="float64")


def _expected(results: dict[str, NDArray[np.float64]], objective: str) -> pd.DataFrame:
    curves = [
        expected_curve(it, OBJECTIVES[objective]).assign(value=value)[_EXPECTED]
        for value, it in results.items()
    ]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=_EXPECTED)


def _sorted(values: pd.DataFrame, *, maximize: bool) -> pd.DataFrame:
    """The confirmed values by their means, then the others by their best trials."""
    is_confirmed = values["verdict"] != NOT_CONFIRMED
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
