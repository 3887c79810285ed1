"""Timeline of the workers, and of the trials that reused epochs."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from sweeps.report.figures.figures import colours
from sweeps.report.reading.frames import StudyFrames

_BARS = 2000


def timeline(frames: StudyFrames) -> go.Figure | None:
    """Which worker trained which trial when, and when trials that reused epochs started.

    Only the last `_BARS` epochs are shown. None if no epoch was trained for the study.
    """
    own = frames.curves[~frames.curves["reused"]].dropna(subset=["worker"])
    if own.empty:
        return None
    trials = frames.trials.set_index("trial")
    palette = colours(trials[frames.kind])
    bars = own.sort_values("ended_at").tail(_BARS)
    bars = bars.assign(
        began=bars["ended_at"] - pd.to_timedelta(bars["epoch_seconds"], unit="s"),
        worker="worker " + bars["worker"].astype("str"),
        optimizer=bars["trial"].map(trials[frames.kind]),
    )
    figure = px.timeline(
        bars,
        x_start="began",
        x_end="ended_at",
        y="worker",
        color="optimizer",
        color_discrete_map=palette,
        category_orders={"optimizer": list(palette)},
        hover_data=["trial", "epoch"],
        title="Epochs trained by each worker; diamonds: trials that reused epochs",
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
    figure.update_layout(xaxis_title="time (UTC)", yaxis_title="", legend_title="")
    return figure
