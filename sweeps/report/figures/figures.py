"""Figures of a study: curves, schedules, two objectives, expected best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb, qualitative

from sweeps.report.compare.comparison import Comparison
from sweeps.report.compare.ranking import second_column
from sweeps.report.compare.scale import reach
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.objectives import SECONDS
from trainer.metrics import RUNNING_LOSS, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from trainer.tracking.record import BEST, COMPLETE, DIVERGED, FAILED

UNITS = {
    RUNNING_LOSS: "running loss (sum over batches)",
    TRAIN_LOSS: "training loss (mean over images)",
    VAL_LOSS: "validation loss (mean over images)",
    VAL_ACCURACY: "validation accuracy (share, 0 to 1)",
    SECONDS: "seconds of training",
}
"""Axis titles."""

LINES = 120
"""Maximum number of single lines; the other trials become a band."""

GOOD_TO_BAD = [[0, "#d7301f"], [0.25, "#d98c1f"], [0.6, "#3b9ab2"], [1, "#7f8ea3"]]
"""Colour scale from the best value to the worst, visible on white and on black."""

BELOW = {"orientation": "h", "y": -0.3}
"""Layout of a legend below the figure, which takes no width on a phone."""

_FADED = 0.35
_CLEAR = 10  # number of best trials that are not faded
_BAND = 0.15  # opacity
_LEAST_POINTS = 4  # of a scatter plot


def colours(values: Iterable[str]) -> dict[str, str]:
    """One colour per value, the same in all figures."""
    palette = qualitative.D3
    # some figures shorten references to user code to their last name; the order must be the same
    named = {it for it in values if isinstance(it, str)}  # a trial without a config has none
    order = sorted(named, key=lambda it: (it.rpartition(":")[2], it))
    return {it: palette[at % len(palette)] for at, it in enumerate(order)}


def curves(frames: StudyFrames, ranked: pd.DataFrame, metric: str) -> go.Figure:
    """A metric over epochs, one line per trial; only the best and the complete trials are opaque.

    If there are more than `LINES` trials, the best have lines, and a band shows the middle 80 % of
    all. Diverged trials do not affect the scale.
    """
    trials = frames.trials.set_index("trial")
    shown = list(ranked["trial"].head(LINES))
    if len(trials) <= LINES:
        shown = list(trials.index)
    figure = go.Figure()
    finite = frames.curves[np.isfinite(frames.curves[metric])]
    if len(trials) > LINES:
        _add_band(figure, finite.groupby("epoch")[metric])
    palette, named = colours(trials[frames.kind]), set[str]()
    clear = {*ranked["trial"].head(_CLEAR), *ranked.loc[ranked["state"] == COMPLETE, "trial"]}
    epochs = dict(list(finite[finite["trial"].isin(shown)].groupby("trial")))
    for trial in [it for it in reversed(shown) if it in epochs]:  # the best on top
        row, rows = trials.loc[trial], epochs[trial]
        optimizer = row[frames.kind]
        named.add(optimizer)
        figure.add_scatter(
            x=rows["epoch"].tolist(),
            y=rows[metric].tolist(),
            mode="lines" if len(rows) > 1 else "markers",
            line={"color": palette[optimizer], "width": 1.5},
            marker={"color": palette[optimizer], "size": 5},
            opacity=0.9 if trial in clear else _FADED,
            legendgroup=optimizer,
            showlegend=False,
            hovertemplate=f"{label(trial, row)}<br>epoch %{{x}}: %{{y:.5g}}<extra></extra>",
        )
    for optimizer in sorted(named):
        line = {"color": palette[optimizer], "width": 3}
        figure.add_scatter(x=[None], y=[None], line=line, name=optimizer, legendgroup=optimizer)
    title = _first_words(metric) + " of each epoch"
    figure.update_layout(title=title, xaxis_title="epoch", legend=BELOW)
    diverged = finite["trial"].map(trials["state"]).isin((DIVERGED, FAILED))
    lines = (finite if diverged.all() else finite[~diverged]).groupby("trial")[metric]
    more = frames.is_maximized(metric)
    scale(figure, metric, lines.max(), lines.min().min(), maximize=more)
    return figure


def decays(frames: StudyFrames, ranked: pd.DataFrame) -> go.Figure | None:
    """Best results by step_size and gamma, of trials that had a decay or are complete.

    Returns:
        None if fewer than `_LEAST_POINTS` combinations have such a trial.
    """
    acted = (ranked["epochs"] > ranked["step_size"]) | (ranked["state"] == COMPLETE)
    decayed = ranked[acted.fillna(False)].dropna(subset=["step_size", "gamma"])
    rows = decayed.drop_duplicates(["step_size", "gamma"])
    if len(rows) < _LEAST_POINTS:
        return None
    name, more = BEST + frames.objective, frames.maximize
    end = reach(rows[name], maximize=more)
    near = rows.loc[rows[name] >= end if more else rows[name] <= end, name]
    figure = go.Figure(
        go.Scatter(
            x=rows["step_size"].tolist(),
            y=rows["gamma"].tolist(),
            mode="markers",
            marker={
                "color": rows[name].tolist(),
                "size": 14,
                "colorscale": GOOD_TO_BAD,
                "reversescale": more,
                "cmin": float(near.quantile(0.05)),
                "cmax": float(near.quantile(0.95)),
                "colorbar": {"title": {"text": frames.objective}},
                "line": {"width": 0},
            },
            text=[label(row["trial"], row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<br>%{marker.color:.5g}<extra></extra>",
        )
    )
    figure.update_layout(
        title=f"Best result by step_size and gamma, of {len(decayed)} trials past a decay",
        xaxis_title="step_size (epochs between decays)",
        yaxis_title="gamma (factor of each decay)",
    )
    return figure


def both_objectives(frames: StudyFrames, both: pd.DataFrame, front: pd.DataFrame) -> go.Figure:
    """All trials by both objectives, and the Pareto front."""
    first, second = BEST + frames.objective, second_column(frames.second)
    figure = go.Figure()
    for rows, name, size in ((both, "all", 7), (front, "Pareto front", 12)):
        figure.add_scatter(
            x=rows[second].tolist(),
            y=rows[first].tolist(),
            mode="markers",
            marker={"size": size, "symbol": "circle" if size == 7 else "circle-open"},
            name=name,
            text=[label(row["trial"], row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<br>%{x:.5g}, %{y:.5g}<extra></extra>",
        )
    figure.update_layout(
        title="Both objectives",
        xaxis_title=UNITS.get(frames.second, frames.second),
        yaxis_title=UNITS.get(frames.objective, frames.objective),
    )
    return figure


def expected(frames: StudyFrames, comparison: Comparison) -> go.Figure:
    """The expected best by number of trials, one line and band per value."""
    figure, curves = go.Figure(), comparison.expected.groupby("value")
    palette = colours(comparison.values["value"])
    for value, rows in curves:
        red, green, blue = hex_to_rgb(palette[str(value)])
        figure.add_scatter(
            x=[*rows["trials"], *rows["trials"][::-1]],
            y=[*rows["high"], *rows["low"][::-1]],
            fill="toself",
            mode="none",
            fillcolor=f"rgba({red},{green},{blue},{_BAND})",
            hoverinfo="skip",
            legendgroup=value,
            showlegend=False,
        )
    for value, rows in curves:  # lines on top of all bands
        figure.add_scatter(
            x=rows["trials"].tolist(),
            y=rows["expected"].tolist(),
            mode="lines" if len(rows) > 1 else "markers",
            line={"color": palette[str(value)], "width": 2.5},
            name=value,
            legendgroup=value,
            hovertemplate=f"{value}, %{{x}} trials: %{{y:.5g}}<extra></extra>",
        )
    figure.update_layout(
        title=f"Expected best of each {comparison.parameter}",
        xaxis_title="number of trials (bands: 95 %)",
        legend=BELOW,
    )
    scale(
        figure,
        frames.objective,
        curves["expected"].max(),
        comparison.expected["low"].min(),
        maximize=frames.maximize,
    )
    return figure


def _add_band(figure: go.Figure, values: Any) -> None:
    """Add a band between the 10 % and 90 % quantiles of each epoch."""
    low, high = values.quantile(0.1), values.quantile(0.9)
    epochs = [*low.index, *reversed(low.index)]
    figure.add_scatter(
        x=epochs,
        y=[*high, *reversed(low.tolist())],
        fill="toself",
        mode="none",
        fillcolor="rgba(127,127,127,0.25)",
        hoverinfo="skip",
        name="8 of 10 trials",
    )


def scale(
    figure: go.Figure, metric: str, worst: pd.Series[float], best: float, *, maximize: bool
) -> None:
    """Set title and range of the y axis; the range leaves out outliers (see `reach`).

    Args:
        figure: figure to change.
        metric: metric on the y axis.
        worst: worst value of each line or point, without diverged trials.
        best: best value of all.
        maximize: whether a higher value is better; the range is then the automatic one.
    """
    figure.update_layout(yaxis_title=UNITS.get(metric, metric))
    if maximize or worst.empty:
        return
    end = reach(worst, maximize=False)
    margin = 0.05 * (end - best) or 0.05 * abs(best) or 1.0
    figure.update_layout(yaxis_range=[best - margin, end + margin])


def label(trial: int, row: pd.Series) -> str:
    """Number, state and default parameters of a trial."""
    words: Sequence[str] = [
        f"{name}={row[name]:g}" if isinstance(row[name], (int, float)) else f"{name}={row[name]}"
        for name in ("lr", "step_size", "gamma")
        if not pd.isna(row[name])
    ]
    ended = ""
    if row["state"] != COMPLETE:
        ended = f", {row['state']} after epoch {row['epochs']}"
    if not pd.isna(row["optimizer"]):  # a loop of the user's has none
        words = [row["optimizer"], *words]
    return f"trial {trial}{ended}: {' '.join(words)}"


def _first_words(metric: str) -> str:
    title = UNITS.get(metric, metric).partition(" (")[0]
    return title[0].upper() + title[1:]
