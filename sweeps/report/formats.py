"""Reports as bytes in any format."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from sweeps.report.across import across
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.render import markdown, markdown_across, render_across, render_table, to_json
from sweeps.report.showing import open_console
from sweeps.report.summary import summarize


def formatted(
    studies: Sequence[StudyFrames], format: str, frame: str = "trials", *, colours: bool = False
) -> bytes:
    """The report of one study, or the comparison of several.

    Args:
        studies: at least one.
        format: "table", "markdown", "html", "csv", "parquet" or "json".
        frame: for csv and parquet: "trials", "curves" or "summary".
        colours: whether a table has terminal colours.

    Raises:
        SweepError: the studies cannot be compared.
    """
    if format == "parquet":
        buffer = io.BytesIO()
        chosen(studies, frame).to_parquet(buffer, index=False)
        return buffer.getvalue()
    return _text(studies, format, frame, colours).encode()


def chosen(studies: Sequence[StudyFrames], frame: str) -> pd.DataFrame:
    """The frame of that name; for several studies with the study as first column."""
    if frame == "summary":
        return across(studies)
    frames = [it.curves if frame == "curves" else it.trials for it in studies]
    if len(studies) == 1:
        return frames[0]
    named = zip(studies, frames, strict=True)
    return pd.concat(
        [rows.assign(study=it.name)[["study", *rows.columns]] for it, rows in named],
        ignore_index=True,
    )


def _text(studies: Sequence[StudyFrames], format: str, frame: str, colours: bool) -> str:
    first, *others = studies
    if format == "csv":
        return str(chosen(studies, frame).to_csv(index=False))
    if format == "html":
        from sweeps.report.page import across_page, to_page  # slow to import

        return across_page(studies) if others else to_page(first)
    if format == "json":
        return to_json(studies)
    if format == "markdown":
        return markdown_across(studies) if others else markdown(summarize(first))
    console = open_console(colours=colours)
    with console.capture() as captured:
        if others:
            render_across(studies, console)
        else:
            render_table(summarize(first), console)
    return captured.get()
