"""A study as Optuna would have it, made in memory from its frames, for Optuna's own plots."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from plotly.colors import sample_colorscale

from sweeps.report.compare.scale import reach
from sweeps.report.figures.figures import GOOD_TO_BAD, LINES, scale
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.optuna_private import SeenStudy
from trainer.metrics import OBJECTIVES
from trainer.tracking.record import BEST

EVALUATOR = "PED-ANOVA"
"""How Optuna tells the importance of parameters unless it is told otherwise."""

_BAR = {"mode": "markers"}  # the trace that is there for its colour bar alone
LEAST_TRIALS = 10
"""Complete ones, of fewer of which importances are not told."""
_SPREAD = 10.0  # a highest value so many times the lowest is one of a log scale


def as_study(frames: StudyFrames, ranked: pd.DataFrame, names: Sequence[str]) -> optuna.Study:
    """The study, with its trials under their numbers.

    All ranked trials are complete ones here, with the best value each reached: most trials of a
    sweep are not trained to their end, and say much all the same. Others have no value.

    Args:
        frames: the study.
        ranked: what `rank` made of it.
        names: columns of the trials that are parameters.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    maximize = OBJECTIVES[frames.objective]
    study = _create(StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE)
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


def importances(study: optuna.Study) -> dict[str, float]:
    """How much of the difference between good and other trials each parameter explains, 0 to 1.

    By PED-ANOVA (Watanabe et al., 2023), which is Optuna's default; none where trials are too few.

    Args:
        study: what `as_study` made of complete trials only. Most of a schedule has not acted on a
            trial of few epochs, so with such ones it would seem not to matter.
    """
    if len(study.get_trials(states=(TrialState.COMPLETE,))) < LEAST_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(optuna.importance.get_param_importances(study))
        except (ValueError, RuntimeError):  # no parameter in all trials, or all values alike
            return {}


def plots(study: optuna.Study, objective: str) -> list[go.Figure]:
    """Optuna's history and parallel coordinates, as far as the trials allow.

    Args:
        study: what `as_study` made.
        objective: what its trials are judged by.
    """
    from optuna import visualization

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figures = [visualization.plot_optimization_history(study, target_name=objective)]
        figures[0].update_layout(title="Best value so far, by trial")
        figures[0].update_traces(line_shape="hv", selector={"mode": "lines"})
        values = pd.Series([it.value for it in complete], dtype="float64")
        scale(figures[0], objective, values, values.min())
        if any(trial.params for trial in complete):
            figures.append(_parallel(study, complete, objective))
    return figures


def importance_bars(known: Mapping[str, float], objective: str, trials: int) -> go.Figure:
    """What `importances` found of so many complete trials."""
    names = list(known)[::-1]  # the first bar is drawn at the bottom
    shares = [known[name] for name in names]
    texts = ["<0.01" if share < 0.01 else f"{share:.2f}" for share in shares]
    figure = go.Figure(go.Bar(x=shares, y=names, orientation="h", text=texts))
    figure.update_layout(
        title=f"Importance for {objective} among {trials} complete trials, by {EVALUATOR}",
        xaxis_title="share of what the parameters explain, 0 to 1",
    )
    return figure


def _parallel(study: optuna.Study, complete: Sequence[FrozenTrial], objective: str) -> go.Figure:
    """Optuna's parallel coordinates of the `LINES` best, as more hide each other; best on top.

    Those that are too bad for the scale are left out, as all others would be one point of it.
    """
    from optuna import visualization

    more = study.direction == StudyDirection.MAXIMIZE
    shown = _create(study.direction)
    values = np.array([it.value for it in complete], dtype=np.float64)
    end = reach(values, maximize=more)
    order = np.argsort(-values if more else values, kind="stable")
    near = [complete[at] for at in order if (values[at] >= end if more else values[at] <= end)]
    shown.add_trials(near[:LINES])
    figure = visualization.plot_parallel_coordinate(shown, target_name=objective)
    count = len(near[:LINES])
    which = f" of the {count} best trials" if len(complete) > count else ""
    figure.update_layout(title=f"Parallel coordinates{which}")
    # Optuna's blues cannot be seen on black, nor its grey letters; heights are from 0 to 1
    figure.update_annotations(font={"color": None})
    figure.update_traces(marker={"colorscale": GOOD_TO_BAD, "reversescale": more}, selector=_BAR)
    lines = list(figure.select_traces({"mode": "lines"}))
    for line in lines:
        share = 1 - line.y[0] if more else line.y[0]
        line.line.color = sample_colorscale(GOOD_TO_BAD, [share])[0]
    lines.sort(key=lambda line: line.y[0], reverse=not more)
    figure.data = (*lines, *figure.select_traces(_BAR))
    return figure


def _create(direction: StudyDirection) -> optuna.Study:
    return SeenStudy(optuna.create_study(direction=direction))


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
    """What a column's values may have been drawn from."""
    values = column.dropna()
    if values.empty:
        return CategoricalDistribution([""])
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return CategoricalDistribution(sorted(set(map(str, values))))
    low, high = values.min(), values.max()
    if pd.api.types.is_integer_dtype(values):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log=bool(low > 0 and high / low >= _SPREAD))
