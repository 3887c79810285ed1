"""Optuna's own plots of a study, and the importances of parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from sweeps.report.compare.scale import reach
from sweeps.report.figures.as_study import create
from sweeps.report.figures.figures import GOOD_TO_BAD, LINES, scale

_BAR = {"mode": "markers"}  # the trace that only carries the colour bar


def plots(study: optuna.Study, objective: str) -> list[go.Figure]:
    """Optuna's history and parallel coordinates, as far as the trials allow.

    Args:
        study: result of `as_study`.
        objective: the metric trials are judged by.
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
    """Bars of the importances, computed from this number of complete trials."""
    names = list(known)[::-1]  # the first bar is drawn at the bottom
    shares = [known[name] for name in names]
    texts = ["<0.01" if share < 0.01 else f"{share:.2f}" for share in shares]
    figure = go.Figure(go.Bar(x=shares, y=names, orientation="h", text=texts))
    figure.update_layout(
        title=f"Importance for {objective} among {trials} complete trials, by PED-ANOVA",
        xaxis_title="share of what the parameters explain, 0 to 1",
    )
    return figure


def _parallel(study: optuna.Study, complete: Sequence[FrozenTrial], objective: str) -> go.Figure:
    """Optuna's parallel coordinates of the `LINES` best trials, the best drawn on top.

    More would hide each other. Outliers are left out, as they would compress the scale.
    """
    from optuna import visualization

    more = study.direction == StudyDirection.MAXIMIZE
    shown = create(study.direction)
    values = np.array([it.value for it in complete], dtype=np.float64)
    end = reach(values, maximize=more)
    order = np.argsort(-values if more else values, kind="stable")
    near = [complete[at] for at in order if (values[at] >= end if more else values[at] <= end)]
    shown.add_trials(near[:LINES])
    figure = visualization.plot_parallel_coordinate(shown, target_name=objective)
    count = len(near[:LINES])
    which = f" of the {count} best trials" if len(complete) > count else ""
    figure.update_layout(title=f"Parallel coordinates{which}")
    # Optuna's blues and its grey text are invisible on black; heights are from 0 to 1
    figure.update_annotations(font={"color": None})
    figure.update_traces(marker={"colorscale": GOOD_TO_BAD, "reversescale": more}, selector=_BAR)
    lines = list(figure.select_traces({"mode": "lines"}))
    for line in lines:
        share = 1 - line.y[0] if more else line.y[0]
        line.line.color = sample_colorscale(GOOD_TO_BAD, [share])[0]
    lines.sort(key=lambda line: line.y[0], reverse=not more)
    figure.data = (*lines, *figure.select_traces(_BAR))
    return figure
