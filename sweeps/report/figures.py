"""Figures of a study: curves, rates, decays, and the two objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative

from sweeps.report.frames import StudyFrames
from sweeps.report.ranking import second_column
from sweeps.search.objectives import SECONDS
from trainer.metrics import OBJECTIVES, RUNNING_LOSS, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from trainer.record import BEST, COMPLETE, DIVERGED, FAILED, PRUNED

UNITS = {
    RUNNING_LOSS: "running loss (sum over batches)",
    TRAIN_LOSS: "training loss (mean over images)",
    VAL_LOSS: "validation loss (mean over images)",
    VAL_ACCURACY: "validation accuracy (share, 0 to 1)",
    SECONDS: "seconds of training",
}
"""Titles of axes."""

LINES = 120
"""Curves that are drawn each by itself; of more trials the rest becomes a band."""

GOOD_TO_BAD = [[0, "#d7301f"], [0.25, "#d98c1f"], [0.6, "#3b9ab2"], [1, "#7f8ea3"]]
"""Colours from the best value to the worst, each of which can be seen on white and on black."""

_FADED = 0.35
_LEAST_POINTS = 4  # fewer show no pattern
_DODGE = 0.04  # decades between optimizers side by side


def colours(optimizers: Iterable[str]) -> dict[str, str]:
    """A colour for each optimizer, the same in all figures."""
    palette = qualitative.D3
    return {it: palette[at % len(palette)] for at, it in enumerate(sorted(set(optimizers)))}


def curves(frames: StudyFrames, ranked: pd.DataFrame, metric: str) -> go.Figure:
    """A line a trial over its epochs; pruned and diverged ones fade.

    Of more than `LINES` trials those of the best are drawn, and of all the middle eight tenths.
    """
    trials = frames.trials.set_index("trial")
    shown = list(ranked["trial"].head(LINES))
    if len(trials) <= LINES:
        shown = list(trials.index)
    figure = go.Figure()
    finite = frames.curves[np.isfinite(frames.curves[metric])]
    if len(trials) > LINES:
        _add_band(figure, finite.groupby("epoch")[metric])
    palette, named = colours(trials["optimizer"]), set[str]()
    epochs = dict(list(finite[finite["trial"].isin(shown)].groupby("trial")))
    for trial in [it for it in reversed(shown) if it in epochs]:  # the best on top
        row, rows = trials.loc[trial], epochs[trial]
        optimizer = row["optimizer"]
        named.add(optimizer)
        figure.add_scatter(
            x=rows["epoch"].tolist(),
            y=rows[metric].tolist(),
            mode="lines" if len(rows) > 1 else "markers",
            line={"color": palette[optimizer], "width": 1.5},
            marker={"color": palette[optimizer], "size": 5},
            opacity=0.9 if row["state"] == COMPLETE else _FADED,
            legendgroup=optimizer,
            showlegend=False,
            hovertemplate=f"{_label(trial, row)}<br>epoch %{{x}}: %{{y:.5g}}<extra></extra>",
        )
    for optimizer in sorted(named):
        line = {"color": palette[optimizer], "width": 3}
        figure.add_scatter(x=[None], y=[None], line=line, name=optimizer, legendgroup=optimizer)
    figure.update_layout(title=_first_words(metric) + " of each epoch", xaxis_title="epoch")
    _scale(figure, metric, finite[metric])
    return figure


def rates(frames: StudyFrames, ranked: pd.DataFrame) -> go.Figure:
    """What each trial reached over its learning rate; above the plot those that diverged.

    Of more than `LINES` trials those of one rate lie side by side by optimizer, not on it.
    """
    name, palette = BEST + frames.objective, colours(frames.trials["optimizer"])
    diverged = frames.trials[frames.trials["state"] == DIVERGED]
    figure = go.Figure()
    for at, (optimizer, colour) in enumerate(palette.items()):
        rows = ranked[ranked["optimizer"] == optimizer]
        aside = 10 ** (_DODGE * (at - (len(palette) - 1) / 2)) if len(ranked) > LINES else 1.0
        figure.add_scatter(
            x=(rows["lr"] * aside).tolist(),
            y=rows[name].tolist(),
            mode="markers",
            marker={
                "color": colour,
                "size": 8,
                "symbol": ["circle" if it == COMPLETE else "circle-open" for it in rows["state"]],
            },
            name=optimizer,
            text=[_label(row["trial"], row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<br>%{y:.5g}<extra></extra>",
        )
        lost = diverged[diverged["optimizer"] == optimizer]
        if lost.empty:
            continue
        figure.add_scatter(
            x=(lost["lr"] * aside).tolist(),
            y=[1.0] * len(lost),
            yaxis="y2",
            mode="markers",
            marker={"color": colour, "symbol": "x", "size": 8},
            name=f"{optimizer}, diverged",
            text=[_label(row["trial"], row) for _, row in lost.iterrows()],
            hovertemplate="%{text}<br>diverged<extra></extra>",
        )
        figure.add_vline(
            x=lost["lr"].min() * aside, line={"color": colour, "dash": "dot", "width": 1}
        )
    figure.update_layout(
        title="Result by learning rate; dotted: the lowest rate at which an optimizer diverged",
        xaxis={"title": "learning rate (log)", "type": "log", "exponentformat": "none"},
        yaxis={"domain": [0, 0.92]},
        yaxis2={"domain": [0.94, 1], "visible": False, "range": [0, 2]},
    )
    _scale(figure, frames.objective, ranked[name])
    return figure


def decays(frames: StudyFrames, ranked: pd.DataFrame) -> go.Figure | None:
    """The best that complete trials reached by step_size and gamma.

    Trials that were stopped early are left out, as most of the schedule has not acted on them.

    Returns:
        None where these were not searched, or too few combinations were trained to the end.
    """
    complete = ranked[ranked["state"] == COMPLETE].dropna(subset=["step_size", "gamma"])
    rows = complete.drop_duplicates(["step_size", "gamma"])
    if len(rows) < _LEAST_POINTS:
        return None
    name = BEST + frames.objective
    figure = go.Figure(
        go.Scatter(
            x=rows["step_size"].tolist(),
            y=rows["gamma"].tolist(),
            mode="markers",
            marker={
                "color": rows[name].tolist(),
                "size": 14,
                "colorscale": GOOD_TO_BAD,
                "reversescale": OBJECTIVES[frames.objective],
                "cmin": float(rows[name].quantile(0.05)),
                "cmax": float(rows[name].quantile(0.95)),
                "colorbar": {"title": {"text": frames.objective}},
                "line": {"width": 0},
            },
            text=[_label(row["trial"], row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<br>%{marker.color:.5g}<extra></extra>",
        )
    )
    figure.update_layout(
        title=f"Best result by step_size and gamma, of {len(complete)} complete trials",
        xaxis_title="step_size (epochs between decays)",
        yaxis_title="gamma (factor of each decay)",
    )
    return figure


def both_objectives(frames: StudyFrames, both: pd.DataFrame, front: pd.DataFrame) -> go.Figure:
    """Each trial by its two values, and those that no other beats in both."""
    first, second = BEST + frames.objective, second_column(frames.second)
    figure = go.Figure()
    for rows, name, size in ((both, "all", 7), (front, "beaten by no other", 12)):
        figure.add_scatter(
            x=rows[second].tolist(),
            y=rows[first].tolist(),
            mode="markers",
            marker={"size": size, "symbol": "circle" if size == 7 else "circle-open"},
            name=name,
            text=[_label(row["trial"], row) for _, row in rows.iterrows()],
            hovertemplate="%{text}<br>%{x:.5g}, %{y:.5g}<extra></extra>",
        )
    figure.update_layout(
        title="Both objectives",
        xaxis_title=UNITS[frames.second],
        yaxis_title=UNITS[frames.objective],
    )
    return figure


def _add_band(figure: go.Figure, values: Any) -> None:
    """Between the first and the last tenth of the trials that have each epoch."""
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


def _scale(figure: go.Figure, metric: str, values: pd.Series[float]) -> None:
    """A title, and no room for the worst tenth where it is far away from all others."""
    figure.update_layout(yaxis_title=UNITS[metric])
    if metric == VAL_ACCURACY or values.empty:
        return
    low, middle, high = values.quantile([0, 0.5, 0.9])
    if values.max() > high + 2 * (high - low) and middle < np.inf:
        margin = 0.05 * (high - low) or 1.0
        figure.update_layout(yaxis_range=[low - margin, high + 2 * margin])


def _label(trial: int, row: pd.Series) -> str:
    """A trial, for people."""
    words: Sequence[str] = [
        f"{name}={row[name]:g}" if isinstance(row[name], (int, float)) else f"{name}={row[name]}"
        for name in ("lr", "step_size", "gamma")
        if not pd.isna(row[name])
    ]
    ended = {PRUNED: ", pruned", DIVERGED: ", diverged", FAILED: ", failed"}.get(row["state"], "")
    return f"trial {trial}{ended}: {row['optimizer']} {' '.join(words)}"


def _first_words(metric: str) -> str:
    title = UNITS[metric].partition(" (")[0]
    return title[0].upper() + title[1:]
