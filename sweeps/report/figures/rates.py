"""Figure of results by learning rate."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from sweeps.report.compare.scale import reach
from sweeps.report.figures.figures import BELOW, LINES, colours, label, scale
from sweeps.report.reading.frames import StudyFrames
from trainer.tracking.record import BEST, COMPLETE, DIVERGED

_DODGE = 0.04  # offset between values in decades
_MARGIN = "y2"  # axis of the strip for trials without a place on the scale


def rates(
    frames: StudyFrames, ranked: pd.DataFrame, values: pd.Series[str], parameter: str
) -> go.Figure:
    """Result of each trial by learning rate, one colour per value of a parameter.

    Diverged trials and outliers (see `reach`) are marked in a strip at the bad end of the scale. If
    there are more than `LINES` trials, the values have an offset on the x axis.

    Args:
        frames: the study.
        ranked: the result of `sweeps.report.compare.ranking.rank`.
        values: text of the parameter's value by number of the trial.
        parameter: name of the parameter.
    """
    name, palette = BEST + frames.objective, colours(values)
    more = frames.maximize
    end = reach(ranked[name], maximize=more)
    beyond = pd.Series(False, index=ranked.index) if more else ranked[name] > end
    diverged = frames.trials[frames.trials["state"] == DIVERGED]
    figure = go.Figure()
    for at, (value, colour) in enumerate(palette.items()):
        aside = 10 ** (_DODGE * (at - (len(palette) - 1) / 2)) if len(ranked) > LINES else 1.0
        of_value = ranked["trial"].map(values) == value
        lost = diverged[diverged["trial"].map(values) == value]
        shown = ranked[of_value & ~beyond]
        symbols = ["circle" if it == COMPLETE else "circle-open" for it in shown["state"]]
        _add(figure, shown, shown["lr"] * aside, shown[name], colour, symbols, value)
        for rows, symbol in ((ranked[of_value & beyond], "triangle-up"), (lost, "x")):
            if len(rows):
                _add(figure, rows, rows["lr"] * aside, None, colour, symbol, value)
        if len(lost):
            border = lost["lr"].min() * aside
            figure.add_vline(x=border, line={"color": colour, "dash": "dot", "width": 1})
    for symbol, meaning, present in (
        ("circle-open", "not complete", (ranked["state"] != COMPLETE).any()),
        ("x", "diverged", len(diverged)),
        ("triangle-up", "beyond the scale", beyond.any()),
    ):
        if present:
            marker = {"color": "gray", "symbol": symbol, "size": 8}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=meaning)
    of = "" if parameter == frames.kind else f" and {parameter}"
    figure.update_layout(
        title=f"Result by learning rate{of}",
        xaxis={
            "title": "learning rate (log)<br>dotted: lowest diverged rate",
            "type": "log",
            "exponentformat": "none",
        },
        yaxis={"domain": [0.08, 1] if more else [0, 0.92]},
        yaxis2={
            "domain": [0, 0.06] if more else [0.94, 1],
            "visible": False,
            "range": [0, 2],
        },
        legend=BELOW,
    )
    scale(figure, frames.objective, ranked[name], ranked[name].min(), maximize=more)
    return figure


def _add(
    figure: go.Figure,
    rows: pd.DataFrame,
    x: pd.Series[float],
    y: pd.Series[float] | None,
    colour: str,
    symbol: str | list[str],
    value: str,
) -> None:
    """Add the points of one value; those on the scale (with y) have a legend entry."""
    figure.add_scatter(
        x=x.tolist(),
        y=[1.0] * len(rows) if y is None else y.tolist(),
        yaxis="y" if y is not None else _MARGIN,
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": symbol},
        name=value,
        legendgroup=value,
        showlegend=y is not None,
        text=[label(row["trial"], row) for _, row in rows.iterrows()],
        hovertemplate="%{text}" + ("" if y is None else "<br>%{y:.5g}") + "<extra></extra>",
    )
