"""A study's summary as tables for the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import chain, repeat
from string import ascii_uppercase
from textwrap import indent
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table

from sweeps.report.across import across
from sweeps.report.advice.advice import Advice
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import duration, in_markdown, short
from sweeps.report.summary import Summary, summarize
from sweeps.report.wording import (
    ACCURACY,
    beside,
    comparison_tables,
    confirmed_line,
    headlines,
    next_commands,
    settings_line,
    tables,
    winner_line,
)
from trainer.errors import printable

JSON_FORMAT = 3
"""Incremented with each incompatible change."""


def render_table(summary: Summary, console: Console) -> None:
    """Print the summary, which fits into 80 columns; commands are never wrapped.

    A console that is not a terminal gets plain text.
    """

    def say(text: str = "", style: str = "", whole: bool = False) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=whole)

    for line in headlines(summary):
        say(line)
    if summary.winner is not None:
        say()
        say(winner_line(summary), "bold green")
        say(settings_line(summary.winner.params))
        if line := confirmed_line(summary):
            say(line)
    if summary.comparison is not None:
        say()
        say(f"Comparison of {summary.comparison.parameter}", "bold")
        say(summary.comparison.answer, "bold green")
        for doubt in summary.comparison.doubts:
            say(f"note: {doubt}", "yellow")
    words = {"state", "optimizer", "settings", "verdict"}
    words |= {summary.comparison.parameter} if summary.comparison else set()
    for title, frame in (*comparison_tables(summary), *tables(summary)):
        say()
        say(title, "bold")
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        shown = frame.drop(columns=ACCURACY, errors="ignore")  # does not fit into 80 columns
        for header in shown.columns:
            side: Literal["left", "right"] = "left" if header in words else "right"
            table.add_column(header, justify=side, overflow="fold")
        for row in shown.itertuples(index=False):
            table.add_row(*row)
        console.print(table, highlight=False, markup=False)
    say()
    for note in summary.notes:
        say(f"note: {note}", "yellow")
    for item in summary.advice:
        say(f"note: {item.seen}", "yellow")
        lead = "next:" if item.command else "space:"
        for head, line in zip(chain([lead], repeat(" " * len(lead))), item.lines, strict=False):
            say(f"      {head} {line}", whole=True)
    say()
    for what, command in next_commands(summary):
        say(f"{what}:", "bold")
        say(f"  {command}", whole=True)


def render_across(studies: Sequence[StudyFrames], console: Console) -> None:
    """Print the comparison of several studies."""
    rows = across(studies)
    for letter, name in zip(ascii_uppercase, rows["study"], strict=False):
        console.print(f"{letter}  {name}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    target = f"to reach {short(rows['target'].iloc[0])}"
    headers = ("", "trials", f"best {rows['objective'].iloc[0]}", "epochs", "time", target, "")
    table = Table(*headers, box=None, padding=(0, 1, 0, 0), header_style="dim")
    for letter, row in zip(ascii_uppercase, rows.to_dict("records"), strict=False):
        table.add_row(
            letter,
            str(row["trials"]),
            short(row["best"]),
            f"{row['trained_epochs']} trained, {row['reused_epochs']} reused",
            _time(row["seconds"]),
            "" if pd.isna(row["epochs_to_target"]) else f"{row['epochs_to_target']} epochs",
            _time(row["seconds_to_target"]),
        )
    console.print(table, highlight=False, markup=False)


def _time(seconds: float) -> str:
    return "" if pd.isna(seconds) else duration(seconds)


def markdown(summary: Summary) -> str:
    """The summary as Markdown."""
    parts = [f"# Study {in_markdown(summary.study)}", _markdown_list(headlines(summary))]
    if summary.winner is not None:
        won = f"{winner_line(summary)}: {settings_line(summary.winner.params)}"
        parts += ["## Winner", in_markdown(won)]
        parts += [in_markdown(line)] if (line := confirmed_line(summary)) else []
    if summary.comparison is not None:
        compared = summary.comparison
        parts += [f"## Comparison of {in_markdown(compared.parameter)}"]
        parts += [in_markdown(compared.answer)]
        parts += [_markdown_list(compared.doubts)] if compared.doubts else []
        for title, frame in comparison_tables(summary):
            parts += [f"### {in_markdown(title)}", _markdown_table(frame)]
    for title, frame in tables(summary):
        parts += [f"## {in_markdown(title)}", _markdown_table(frame)]
    if summary.notes:
        parts += ["## Notes", _markdown_list(summary.notes)]
    if summary.advice:
        parts += ["## What to try next", "\n\n".join(map(_markdown_advice, summary.advice))]
    parts += ["## Next"]
    parts += [
        f"{in_markdown(what)}:\n\n{_fenced([command])}" for what, command in next_commands(summary)
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_advice(item: Advice) -> str:
    lines = f"\n\n{indent(_fenced(item.lines), '  ')}" if item.lines else ""
    return f"- {in_markdown(item.seen)}{lines}"


def _markdown_list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {in_markdown(line)}" for line in lines)


def _fenced(lines: Iterable[str]) -> str:
    """A block of code, whatever is in it."""
    text = "\n".join(map(printable, lines))
    fence = max(["``", *re.findall("`+", text)], key=len) + "`"
    return f"{fence}\n{text}\n{fence}"


def markdown_across(studies: Sequence[StudyFrames]) -> str:
    """The comparison of several studies as Markdown, one column per study.

    Raises:
        SweepError: they cannot be compared.
    """
    return f"# {len(studies)} studies\n\n{_markdown_table(beside(studies))}\n"


def _markdown_table(texts: pd.DataFrame) -> str:
    heads = [in_markdown(str(name)) for name in texts.columns]
    rows = [heads, ["---"] * len(heads), *texts.map(in_markdown).to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_json(studies: Sequence[StudyFrames]) -> str:
    """Summary and both frames of a study as JSON; NaN and infinities are null.

    For several studies: their comparison, and a list of the studies.

    Raises:
        SweepError: the studies cannot be compared.
    """
    each = [
        {
            "study": frames.name,
            "objective": frames.objective,
            "summary": asdict(summarize(frames)),
            "trials": frames.trials,
            "curves": frames.curves,
        }
        for frames in studies
    ]
    content = each[0] if len(each) == 1 else {"across": across(studies), "studies": each}
    return (
        json.dumps(_jsonable({"format": JSON_FORMAT} | content), indent=1, allow_nan=False) + "\n"
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if value is None or pd.isna(value) or value in (math.inf, -math.inf):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value
