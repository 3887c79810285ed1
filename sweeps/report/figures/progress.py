"""The best value so far of several studies, over epochs or time."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from sweeps.report.compare.progress import best_so_far
from sweeps.report.figures.figures import UNITS
from sweeps.report.reading.frames import StudyFrames


def progress(studies: Sequence[StudyFrames], by: str) -> go.Figure:
    """The best value so far of each study, by "epochs" or "seconds"."""
    figure = go.Figure()
    for frames in studies:
        path = best_so_far(frames)
        path = path[path["best"].ne(path["best"].shift()) | (path.index == len(path) - 1)]
        figure.add_scatter(
            x=path[by].tolist(),
            y=path["best"].tolist(),
            mode="lines+markers",
            line={"shape": "hv"},
            name=frames.name,
        )
    unit = "epochs requested" if by == "epochs" else "seconds of training"
    figure.update_layout(
        title=f"Best so far, by {unit}",
        xaxis_title=unit,
        yaxis_title=UNITS[studies[0].objective],
        legend={"orientation": "h", "y": -0.25},
    )
    return figure
