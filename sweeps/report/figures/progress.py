"""The best value so far of one or more studies."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from sweeps.report.compare.progress import best_so_far
from sweeps.report.figures.figures import BELOW, scale
from sweeps.report.reading.frames import StudyFrames


def progress(studies: Sequence[StudyFrames], by: str) -> go.Figure:
    """The best value so far of each study, by "epochs" or "seconds"."""
    figure, paths = go.Figure(), [best_so_far(frames) for frames in studies]
    for frames, path in zip(studies, paths, strict=True):
        steps = path[path["best"].ne(path["best"].shift()) | (path.index == len(path) - 1)]
        figure.add_scatter(
            x=steps[by].tolist(),
            y=steps["best"].tolist(),
            mode="lines+markers",
            line={"shape": "hv"},
            name=frames.name,
        )
    unit = "epochs requested" if by == "epochs" else "seconds of training"
    figure.update_layout(title=f"Best value so far, by {unit}", xaxis_title=unit, legend=BELOW)
    best = pd.concat([path["best"].drop_duplicates() for path in paths])
    first = studies[0]
    scale(figure, first.objective, best, best.min(), maximize=first.maximize)
    return figure
