"""`python -m sweeps.report`: the results of a study as a table, a page, or data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sweeps.errors import SweepError
from trainer.files import atomic_write
from trainer.settings import flags
from trainer.settings.paths import Places

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@flags.takes
def report(
    *,
    study: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of the study; several are compared.",
            show_default="the newest",
            metavar="NAME",
        ),
    ] = None,
    format: Annotated[
        Literal["table", "markdown", "html", "csv", "parquet", "json"],
        typer.Option(
            help="table and markdown: a summary; html: a page with figures; csv and parquet: one "
            "frame; json: all of it."
        ),
    ] = "table",
    frame: Annotated[
        Literal["trials", "curves", "summary"] | None,
        typer.Option(
            help="For csv and parquet: one row per trial; per trial and epoch; per study.",
            show_default="trials",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write to FILE; -: stdout.", show_default="stdout", metavar="FILE"
        ),
    ] = None,
    next_file: Annotated[
        Path | None,
        typer.Option(
            "--next",
            help="Write the advised search space to a file, and print the command to search it.",
            metavar="PATH.toml",
        ),
    ] = None,
    places: Annotated[Places, flags.Flags(Places, only=["tracking_uri"])],
) -> int:
    """Show the results of a study, also while it runs."""
    tracking_uri = places.tracking_uri
    if next_file is not None:
        if len(study or ()) > 1 or format != "table" or frame is not None or out is not None:
            raise SweepError(
                "--next must be used without --format, --frame, --out and a second --study."
            )
        return _write_next(next_file, study[0] if study else None, tracking_uri)
    if frame is not None and format not in ("csv", "parquet"):
        raise SweepError(
            f"--frame must be used with --format csv or parquet, but got --format {format}."
        )
    if format == "parquet" and out is None and sys.stdout.isatty():
        raise SweepError("--format parquet must be written to a file: use -o FILE.")

    from sweeps.report.formats import formatted
    from sweeps.report.reading.frames import load_study

    if out == Path("-"):
        out = None
    names: list[str | None] = [*dict.fromkeys(study)] if study else [None]
    studies = [load_study(name, tracking_uri) for name in names]
    colours = out is None and sys.stdout.isatty()
    content = formatted(studies, format, frame or "trials", colours=colours)
    if out is None:
        _print(content)
    else:
        write(out, content)
    return 0


def _write_next(path: Path, study: str | None, tracking_uri: str | None) -> int:
    """Write the advised search space; print its changes and the command that searches it."""
    if path.suffix != ".toml":
        raise SweepError(f"--next must be a PATH.toml, but got {str(path)!r}.")

    from sweeps.report.next_space import next_space
    from sweeps.report.reading.frames import load_study

    proposal = next_space(load_study(study, tracking_uri), path)
    write(path, proposal.text.encode())
    for item in proposal.applied:
        print(f"changed: {item.seen}")
    for item, reason in proposal.refused:
        print(f"not changed: {item.seen} The change is invalid: {reason}")
    if not proposal.applied:
        print("No change of the space is advised.")
    print(f"Search it:\n  {proposal.command}")
    return 0


def write(path: Path, content: bytes) -> None:
    """Write the file atomically, and print its size.

    Raises:
        SweepError: the file cannot be written.
    """
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        reason = error.strerror or error
        raise SweepError(f"{path} must be a file that can be written, but: {reason}.") from error
    print(f"wrote {path} ({len(content):,} bytes)")


def _print(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `head` has exited, say; Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
