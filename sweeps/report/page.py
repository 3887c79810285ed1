"""The report as a self-contained HTML page with figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from textwrap import wrap
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import plotly.offline

from sweeps.report.compare.comparison import value_names
from sweeps.report.compare.ranking import rank, with_second
from sweeps.report.figures import figures
from sweeps.report.figures.parameters import importance_bars, parallel
from sweeps.report.figures.progress import progress
from sweeps.report.figures.rates import rates
from sweeps.report.figures.timeline import timeline
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import short
from sweeps.report.summary import Summary, searched_columns, summarize
from sweeps.report.wording import (
    beside,
    comparison_tables,
    confirmed_line,
    headlines,
    importance_line,
    tables,
    winner_line,
)
from trainer.metrics import RUNNING_LOSS, VAL_ACCURACY
from trainer.tracking.record import BEST, BEST_EPOCH, COMPLETE

_HEIGHT = 420
_TITLE = 40  # characters per line, which fit on a phone


def to_page(frames: StudyFrames) -> str:
    """The page of a study in any state."""
    summary = summarize(frames)
    return _page(
        title=f"Study {frames.name}",
        facts=headlines(summary),
        winner=summary.winner,
        lead="Best so far" if summary.is_open else "Winner",
        won=[winner_line(summary), confirmed_line(summary)],
        comparison=summary.comparison,
        comparison_tables=list(comparison_tables(summary)),
        notes=summary.notes,
        advice=summary.advice,
        follow=summary.follow,
        tables=tables(summary),
        figures=_figures(frames, summary),
        hint=importance_line(summary),
        trials=_trials(frames),
    )


def across_page(studies: Sequence[StudyFrames]) -> str:
    """The page that compares several studies.

    Raises:
        SweepError: they cannot be compared.
    """
    return _page(
        title=f"{len(studies)} studies",
        tables=[("Comparison", beside(studies))],
        figures=(progress(studies, by) for by in ("epochs", "seconds")),
    )


def _page(figures: Iterable[go.Figure], **content: Any) -> str:
    environment = jinja2.Environment(autoescape=True)
    return environment.from_string(_text("page.html")).render(
        **content,
        figures=[_html(figure, at) for at, figure in enumerate(figures)],
        plotly=plotly.offline.get_plotlyjs(),
        style=_text("page.css"),
        script=_text("page.js"),
    )


def _figures(frames: StudyFrames, summary: Summary) -> Iterator[go.Figure]:
    """The figures in reading order."""
    ranked = rank(frames)
    if summary.comparison is not None and len(ranked):
        yield figures.expected(frames, summary.comparison)
        if frames.compare != "optimizer" and ranked["lr"].notna().any():
            yield _rates(frames, ranked, frames.compare)
    for metric in dict.fromkeys((frames.objective, RUNNING_LOSS)):
        if metric != frames.objective and frames.curves[metric].isna().all():
            continue  # of a loop of the user's
        yield figures.curves(frames, ranked, metric)
    if len(ranked) and ranked["lr"].notna().any():
        yield _rates(frames, ranked, frames.kind)
    if (figure := figures.decays(frames, ranked)) is not None:
        yield figure
    if frames.second and len(ranked):
        yield figures.both_objectives(frames, with_second(frames, ranked), summary.front)
    if len(ranked):
        yield progress([frames], "epochs")
        if (figure := parallel(frames, ranked, searched_columns(frames.trials))) is not None:
            yield figure
    if summary.importances:
        complete = int((ranked["state"] == COMPLETE).sum())
        yield importance_bars(summary.importances, frames.objective, complete)
    if (figure := timeline(frames)) is not None:
        yield figure


def _rates(frames: StudyFrames, ranked: pd.DataFrame, parameter: str) -> go.Figure:
    values = frames.trials.set_index("trial")[parameter].dropna()
    return rates(frames, ranked, value_names(values), parameter)


def _html(figure: go.Figure, at: int) -> str:
    title = wrap(figure.layout.title.text or "", _TITLE)
    figure.update_layout(
        title={"text": "<br>".join(title), "font": {"size": 15}},
        template="plotly",
        height=_HEIGHT,
        margin={"l": 60, "r": 20, "t": 30 + 20 * max(1, len(title)), "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        autosize=True,
        width=None,
    )
    text: str = plotly.io.to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        div_id=f"figure-{at}",
        config={"displaylogo": False, "responsive": True},
    )
    return text


def _trials(frames: StudyFrames) -> dict[str, Any]:
    """All trials as rows of cells: the text, and the full value, by which the table is sorted."""
    names = ["trial", "state", BEST + frames.objective, "best_epoch", VAL_ACCURACY]
    names += ["epochs", "reused_epochs"]
    names += [*searched_columns(frames.trials), "seconds"]
    trials, ranked = frames.trials.set_index("trial", drop=False), rank(frames).set_index("trial")
    best = [BEST + frames.objective, BEST_EPOCH, VAL_ACCURACY]
    trials[best] = ranked[best].astype({BEST_EPOCH: "Int64"}).reindex(trials.index)
    if trials[VAL_ACCURACY].isna().all():  # regression
        names.remove(VAL_ACCURACY)
    rows = [
        [(short(value), "" if pd.isna(value) else value) for value in row]
        for row in trials[list(dict.fromkeys(names))].itertuples(index=False)
    ]
    return {"columns": list(dict.fromkeys(names)), "rows": rows}


def _text(name: str) -> str:
    return (resources.files("sweeps.report") / name).read_text(encoding="utf-8")
