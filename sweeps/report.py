"""`python -m sweeps.report`: what a study found, as a table, CSV, JSON or Markdown."""

from __future__ import annotations

import json
import math
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from trainer import options

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.frames import StudyFrames
    from sweeps.summary import Summary

JSON_FORMAT = 1
"""Raised with any change that a reader of the JSON would trip over."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    study: Annotated[
        str | None,
        typer.Option(help="Name of the study.", show_default="the newest", metavar="NAME"),
    ] = None,
    format: Annotated[
        Literal["table", "csv", "json", "markdown"],
        typer.Option(help="table and markdown: a summary; csv: one frame; json: all of it."),
    ] = "table",
    frame: Annotated[
        Literal["trials", "curves"] | None,
        typer.Option(
            help="For csv: a row a trial, or a row a trial and epoch.", show_default="trials"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write to FILE.", show_default="stdout", metavar="FILE"),
    ] = None,
    tracking_uri: options.TrackingUri = None,
) -> int:
    """Show what a study found. It need not have ended."""
    from sweeps.errors import SweepError

    if frame is not None and format != "csv":
        raise SweepError(f"--frame must go with --format csv, but got --format {format}.")

    from rich.console import Console

    from sweeps.frames import load_study
    from sweeps.summary import summarize

    frames = load_study(study, tracking_uri)

    def render(stream: TextIO) -> None:
        if format == "csv":
            (frames.curves if frame == "curves" else frames.trials).to_csv(stream, index=False)
        elif format == "json":
            render_json(frames, stream)
        elif format == "markdown":
            stream.write(markdown(summarize(frames)))
        else:
            console = Console(file=stream, force_terminal=stream.isatty())
            render_table(summarize(frames), console)

    write(None if out == Path("-") else out, render)
    return 0


def write(path: Path | None, render: Callable[[TextIO], None]) -> None:
    """Have `render` write to the file, and say so, or to stdout; the file is whole or as it was.

    Raises:
        SweepError: the file cannot be written.
    """
    from sweeps.errors import SweepError

    if path is None:
        _write_stdout(render)
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                render(stream)
            size = temporary.stat().st_size
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise SweepError(f"{path} must be a file that can be written, but: {reason}.") from error
    print(f"wrote {path} ({size:,} bytes)")


def _write_stdout(render: Callable[[TextIO], None]) -> None:
    try:
        render(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has enough; Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def render_study(study: str | None, tracking_uri: str | None, console: Console) -> None:
    """Print the summary of a study; arguments and errors are those of `load_study`."""
    from sweeps.frames import load_study
    from sweeps.summary import summarize

    render_table(summarize(load_study(study, tracking_uri)), console)


def render_table(summary: Summary, console: Console) -> None:
    """Print the summary for people: 80 columns do, and a pipe gets plain text."""
    from rich.table import Table

    def say(text: str = "", style: str = "", whole: bool = False) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=whole)

    def tabulate(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        say()
        say(title, style="bold")
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        for header in headers:
            words = header in ("state", "optimizer", "settings")
            table.add_column(header, justify="left" if words else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table, highlight=False, markup=False)

    for line in _headlines(summary):
        say(line)
    if summary.winner is not None:
        say()
        say(_winner(summary), style="bold green")
        say(_settings(summary.winner.params))
        tabulate(_top_title(summary), *_top(summary))
    if len(summary.by_optimizer):
        tabulate("By optimizer", *_by_optimizer(summary))
    say()
    for note in summary.notes:
        say(f"note: {note}", style="yellow")
    say()
    for what, command in _next(summary):
        say(f"{what}:", style="bold")
        say(f"  {command}", whole=True)


def markdown(summary: Summary) -> str:
    """The summary as Markdown."""
    parts = [f"# Study {summary.study}", "\n".join(f"- {line}" for line in _headlines(summary))]
    if summary.winner is not None:
        parts += ["## Winner", f"{_winner(summary)}: {_settings(summary.winner.params)}"]
        parts += [f"## {_top_title(summary)}", _markdown_table(*_top(summary))]
    if len(summary.by_optimizer):
        parts += ["## By optimizer", _markdown_table(*_by_optimizer(summary))]
    if summary.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in summary.notes)]
    parts += ["## Next"]
    parts += [f"{what}:\n\n```\n{command}\n```" for what, command in _next(summary)]
    return "\n\n".join(parts) + "\n"


def render_json(frames: StudyFrames, stream: TextIO) -> None:
    """Write the summary and both frames as JSON; what is no finite number is null in it."""
    from sweeps.summary import summarize

    content = {
        "format": JSON_FORMAT,
        "study": frames.name,
        "objective": frames.objective,
        "summary": summarize(frames),
        "trials": frames.trials,
        "curves": frames.curves,
    }
    json.dump(_jsonable(content), stream, indent=1, allow_nan=False)
    stream.write("\n")


def _jsonable(value: Any) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return [_jsonable(row) for row in value.to_dict("records")]
    if is_dataclass(value):
        return {item.name: _jsonable(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or pd.isna(value) or (isinstance(value, float) and math.isinf(value)):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def _headlines(summary: Summary) -> Iterable[str]:
    from sweeps.progress import duration
    from sweeps.summary import share

    kind = "highest" if summary.maximize else "lowest"
    yield f"study {summary.study}: the {kind} {summary.objective} of a trial's epochs wins"
    counts = ", ".join(f"{n} {state}" for state, n in summary.counts.items())
    yield f"trials: {summary.trials} of {summary.asked} asked for" + (counts and f": {counts}")
    reused = share(summary.reused_epochs, summary.epochs)
    yield f"epochs: {summary.epochs} asked for, {summary.trained_epochs} trained; reused {reused}"
    if summary.seconds is not None:
        yield f"wall time: {duration(summary.seconds)}"


def _winner(summary: Summary) -> str:
    assert summary.winner is not None
    won = summary.winner
    text = f"winner: trial {won.trial} ({won.state}), {summary.objective} {_short(won.value)}"
    if summary.objective != "val_accuracy":
        text += f", val_accuracy {_short(won.val_accuracy)}"
    return f"{text} after epoch {won.epoch}"


def _settings(params: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={_short(value)}" for name, value in params.items())


def _top_title(summary: Summary) -> str:
    trials = f"{len(summary.top)} of {summary.ranked} complete and pruned trials"
    return f"Best {trials}, by {summary.objective}"


def _top(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Headers and rows; what not every trial has goes into one column, so that 80 columns do."""
    best = f"best_{summary.objective}"
    plain = ["trial", "state", best, "best_epoch", "optimizer", "lr", "step_size", "gamma"]
    others = [name for name in summary.top if name not in (*plain, "epochs")]
    headers = ["trial", "state", "best", "epoch", "optimizer", "lr", "step", "gamma"]
    rows = []
    for row in summary.top.to_dict("records"):
        cells = [_short(row[name]) for name in plain]
        cells[3] = f"{cells[3]}/{_short(row['epochs'])}"
        settings = " ".join(f"{name}={_short(row[name])}" for name in others if _short(row[name]))
        rows.append([*cells, settings] if others else cells)
    return headers + (["settings"] if others else []), rows


def _by_optimizer(summary: Summary) -> tuple[list[str], list[list[str]]]:
    frame = summary.by_optimizer
    rows = [[_short(cell) for cell in row.values()] for row in frame.to_dict("records")]
    return frame.columns.tolist(), rows


def _next(summary: Summary) -> Iterable[tuple[str, str]]:
    yield "See every epoch of it", summary.view
    if summary.winner is not None:
        yield "Train the winner again", summary.winner.command


def _short(value: Any) -> str:
    """Six digits, more where those would turn nearly 1 into 1; "" for what is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value)
    texts = (f"{value:.{digits}g}" for digits in range(6, 18))
    return next(text for text in texts if float(text) != 1 or value == 1)


def _markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
