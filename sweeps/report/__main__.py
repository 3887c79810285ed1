"""`python -m sweeps.report`: what a study found, as a table, CSV, JSON or Markdown."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps import options as sweep_options
from sweeps.errors import SweepError
from trainer import options

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    study: sweep_options.Study = None,
    format: Annotated[
        Literal["table", "markdown", "html", "csv", "parquet", "json"],
        typer.Option(
            help="table and markdown: a summary; html: a page with figures; csv and parquet: one "
            "frame; json: all of it."
        ),
    ] = "table",
    frame: Annotated[
        Literal["trials", "curves"] | None,
        typer.Option(
            help="For csv and parquet: a row a trial; a row a trial and epoch; or a row a study.",
            show_default="trials",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write to FILE.", show_default="stdout", metavar="FILE"),
    ] = None,
    tracking_uri: options.TrackingUri = None,
) -> int:
    """Show what a study found. It need not have ended."""
    if frame is not None and format != "csv":
        raise SweepError(f"--frame must go with --format csv, but got --format {format}.")

    from rich.console import Console

    from sweeps.report.frames import load_study
    from sweeps.report.render import markdown, render_table, to_json
    from sweeps.report.summary import summarize

    if out == Path("-"):
        out = None
    frames = load_study(study, tracking_uri)
    if format == "csv":
        text = (frames.curves if frame == "curves" else frames.trials).to_csv(index=False)
    elif format == "json":
        text = to_json(frames)
    elif format == "markdown":
        text = markdown(summarize(frames))
    else:
        console = Console(force_terminal=out is None and sys.stdout.isatty())
        with console.capture() as captured:
            render_table(summarize(frames), console)
        text = captured.get()
    if out is None:
        _print(text)
    else:
        write(out, text)
    return 0


def write(path: Path, text: str) -> None:
    """Write the file, and say so; it is whole or as it was.

    Raises:
        SweepError: the file cannot be written.
    """
    content = text.encode()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise SweepError(f"{path} must be a file that can be written, but: {reason}.") from error
    print(f"wrote {path} ({len(content):,} bytes)")


def _print(text: str) -> None:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # the reader, `head` say, has enough; Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
