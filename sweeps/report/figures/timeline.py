"""A timeline of the workers: which trained which trial when, and where epochs were reused."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from sweeps.report.figures.figures import colours
from sweeps.report.reading.frames import StudyFrames

_BARS = 2000
_EDGED = 500  # bars that are wide enough for an edge


def timeline(frames: StudyFrames) -> go.Figure | None:
    """A bar per epoch and worker over time; marks at the start of trials that reused epochs.

    Above `_BARS` epochs, those that would be thinner than a line are merged into one bar of the
    first.
    """
    own = frames.curves[~frames.curves["reused"]].dropna(subset=["worker"])
    if own.empty:
        return None
    began = own["ended_at"] - pd.to_timedelta(own["epoch_seconds"], unit="s")
    bars = own.assign(began=began).sort_values(["worker", "began"])
    if len(bars) > _BARS:
        first, last = bars["began"].min(), bars["ended_at"].max()
        passed = (bars["began"] - first) / (last - first)
        slots = (passed * _BARS / bars["worker"].nunique()).astype("int64")
        bars = bars.groupby(["worker", slots], as_index=False).agg(
            worker=("worker", "first"),
            trial=("trial", "first"),
            epoch=("epoch", "first"),
            began=("began", "min"),
            ended_at=("ended_at", "max"),
        )
    trials = frames.trials.set_index("trial")
    palette, edge = colours(trials["optimizer"]), 0.5 if len(bars) <= _EDGED else 0
    figure = go.Figure()
    for optimizer, colour in palette.items():
        rows = bars[bars["trial"].map(trials["optimizer"]) == optimizer]
        figure.add_bar(
            orientation="h",
            base=rows["began"].tolist(),
            x=((rows["ended_at"] - rows["began"]).dt.total_seconds() * 1000).tolist(),
            y=[f"worker {worker}" for worker in rows["worker"]],
            marker={"color": colour, "line": {"width": edge, "color": "rgba(127,127,127,0.5)"}},
            name=optimizer,
            text=[f"trial {row.trial}, epoch {row.epoch}" for row in rows.itertuples()],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    reused = trials[trials["reused_epochs"] > 0]
    figure.add_scatter(
        x=reused["started_at"].tolist(),
        y=["reused"] * len(reused),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 9, "color": "gray"},
        name="epochs reused",
        text=[f"trial {it}: {n} epochs reused" for it, n in reused["reused_epochs"].items()],
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_layout(
        title="Who trained what, and when; diamonds: trials that took epochs from the store",
        xaxis={"title": "time (UTC)", "type": "date"},
        barmode="overlay",
        yaxis={"type": "category"},
    )
    return figure
