"""Figures of all parameters of a study: parallel coordinates, and their importance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sweeps.report.compare.comparison import value_names
from sweeps.report.compare.importance import is_log
from sweeps.report.compare.scale import reach
from sweeps.report.figures.figures import GOOD_TO_BAD, LINES, label
from sweeps.report.reading.frames import StudyFrames
from trainer.tracking.record import BEST

_TICKS = 5
_NONE = -0.15  # height of trials that lack the parameter; others are from 0 to 1


def parallel(
    frames: StudyFrames, ranked: pd.DataFrame, parameters: Sequence[str]
) -> go.Figure | None:
    """Parallel coordinates of the `LINES` best trials, the best on top.

    Trials beyond the scale (see `reach`) are left out, since they would compress all others.

    Args:
        frames: the study.
        ranked: the result of `sweeps.report.compare.ranking.rank`.
        parameters: columns of the trials.

    Returns:
        None if no parameter differs between these trials.
    """
    name, more = BEST + frames.objective, frames.maximize
    end = reach(ranked[name], maximize=more)
    near = ranked[ranked[name] >= end if more else ranked[name] <= end].head(LINES)
    varied = [it for it in parameters if near[it].nunique(dropna=False) > 1]
    if not varied:
        return None
    figure, heights = go.Figure(), {}
    for at, column in enumerate((name, *varied)):
        heights[column], ticks = _axis(near[column])
        figure.add_vline(x=at, line={"color": "gray", "width": 1})
        for height, text in ticks.items():
            figure.add_annotation(x=at, y=height, text=text, xanchor="right", showarrow=False)
    lines = pd.DataFrame(heights)
    colours = sample_colorscale(GOOD_TO_BAD, 1 - lines[name] if more else lines[name])
    for at in reversed(range(len(near))):
        row = near.iloc[at]
        figure.add_scatter(
            x=list(lines),
            y=lines.iloc[at].tolist(),
            mode="lines",
            line={"color": colours[at], "width": 1.5},
            name="",
            text=f"{label(row['trial'], row)}<br>{frames.objective} {row[name]:.5g}",
            hovertemplate="%{text}",
        )
    which = f" of the {len(near)} best trials" if len(near) < len(ranked) else ""
    figure.update_layout(
        title=f"Parallel coordinates{which}", showlegend=False, yaxis={"visible": False}
    )
    return figure


def _axis(column: pd.Series[Any]) -> tuple[pd.Series[float], dict[float, str]]:
    """The height of each value, and the text of each tick by its height."""
    known = column.dropna()
    numbers: pd.Series[Any]
    if pd.api.types.is_bool_dtype(known) or not pd.api.types.is_numeric_dtype(known):
        names = value_names(known)
        texts = sorted(set(names))
        numbers, ticks = names.map(texts.index), np.arange(len(texts), dtype="float64")
    else:
        numbers = known.astype("float64")
        is_few, has_log_scale = numbers.nunique() <= _TICKS, is_log(numbers.min(), numbers.max())
        spaced = np.geomspace if has_log_scale else np.linspace
        ticks = numbers.unique() if is_few else spaced(numbers.min(), numbers.max(), _TICKS)
        texts = [f"{it:.3g}" for it in ticks]
        if has_log_scale:
            numbers, ticks = numbers.map(math.log), np.log(ticks)
    low, length = numbers.min(), numbers.max() - numbers.min() or 1
    heights = dict(zip((ticks - low) / length, texts, strict=True))
    if len(known) < len(column):
        heights[_NONE] = "none"
    return ((numbers - low) / length).reindex(column.index, fill_value=_NONE), heights


def importance_bars(importances: Mapping[str, float], objective: str, trials: int) -> go.Figure:
    """The result of `importances` for so many complete trials."""
    names = list(importances)[::-1]  # the first bar is drawn at the bottom
    shares = [importances[name] for name in names]
    texts = ["<0.01" if share < 0.01 else f"{share:.2f}" for share in shares]
    figure = go.Figure(go.Bar(x=shares, y=names, orientation="h", text=texts))
    figure.update_layout(
        title=f"Importance for {objective} among {trials} complete trials, by PED-ANOVA",
        xaxis_title="share of the explained differences, 0 to 1",
    )
    return figure
