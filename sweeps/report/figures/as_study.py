"""A study rebuilt in memory from its frames, for Optuna's plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from sweeps.report.compare.importance import is_log
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.optuna_private import StudyView
from trainer.metrics import OBJECTIVES
from trainer.tracking.record import BEST


def as_study(frames: StudyFrames, ranked: pd.DataFrame, names: Sequence[str]) -> optuna.Study:
    """The study, with its trials under their numbers.

    All ranked trials are COMPLETE here with their best value: most trials of a sweep stop early and
    are informative all the same. Other trials have no value.

    Args:
        frames: the study.
        ranked: result of `rank`.
        names: columns of the trials that are parameters.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    maximize = OBJECTIVES[frames.objective]
    study = create(StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE)
    distributions = {name: _distribution(frames.trials[name]) for name in names}
    values = ranked.set_index("trial")[BEST + frames.objective]
    rows = dict(
        zip(frames.trials["trial"], frames.trials[[*names]].to_dict("records"), strict=True)
    )
    for number in range(max(rows, default=-1) + 1):
        value = values.get(number)
        params = _params(rows.get(number, {}), distributions)
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params=params,
                distributions={name: distributions[name] for name in params},
            )
        )
    return study


def create(direction: StudyDirection) -> optuna.Study:
    """An empty study that does not copy its trials on each access."""
    return StudyView(optuna.create_study(direction=direction))


def _params(row: dict[Any, Any], distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, distribution in distributions.items():
        value = row.get(name)
        if pd.isna(value):
            continue
        if isinstance(distribution, IntDistribution):
            params[name] = int(value)
        elif isinstance(distribution, FloatDistribution):
            params[name] = float(value)
        else:
            params[name] = str(value)
    return params


def _distribution(column: pd.Series[Any]) -> BaseDistribution:
    """A distribution that contains a column's values."""
    values = column.dropna()
    if values.empty:
        return CategoricalDistribution([""])
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return CategoricalDistribution(sorted(set(map(str, values))))
    low, high = values.min(), values.max()
    if pd.api.types.is_integer_dtype(values):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log=bool(is_log(low, high)))
