"""`python -m sweeps.doctor`: show what does not fit, and mend it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.settings.execution import Places
from trainer.errors import ConfigError
from trainer.settings import flags
from trainer.settings.paths import Paths
from trainer.tracking.connection import check_server

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.doctor.finding import Finding

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0}


@app.command()
@flags.takes
def command(
    *,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Remove damaged results and states, and do what the start of a sweep does for "
            "each study that needs it, without training.",
        ),
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--prune-older-than",
            help="Remove states that were not used for so long (30d, 12h); they are trained again "
            "when needed. Results stay.",
            metavar="AGE",
        ),
    ] = None,
    places: Places,
) -> int:
    """Show what does not fit between Optuna's studies, MLflow's runs and stored files.

    The exit status is 1 if something does not. Without --fix and --prune-older-than nothing is
    changed.
    """
    age = None if older_than is None else _age(older_than)
    uri = places.tracking_uri or Paths.here().tracking_uri
    check_server(uri)  # before slow imports

    from sweeps.doctor.checkup import check, fix_all
    from sweeps.doctor.machine import describe
    from sweeps.doctor.stored import sizes
    from sweeps.report.showing import open_console
    from trainer.stages.store import StageStore

    console = open_console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    store = StageStore(places.stages or Paths.here().stages, places.state_bytes)
    found, findings = check(places, uri, store)
    if fix and findings:
        store.remove_damaged()
        for line in fix_all(found, findings, places, uri, console):
            say(line)
        found, findings = check(places, uri, store)
    if age is not None:
        removed, size = store.prune(age)
        say(f"Removed {removed} states of {size / 1e6:,.0f} MB.")
    for line in (*(it.line for it in found), *sizes(store), *describe(Paths.here().root)):
        say(line)
    say("")
    if not findings:
        say("Everything fits.")
        return 0
    _print(findings, console)
    return 1


def _age(text: str) -> float:
    """Seconds of an age such as 30d.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"\d+[dhm]", text):
        raise ConfigError(
            f"--prune-older-than must be a number of days, hours or minutes, such as 30d, 12h or "
            f"90m, but got {text!r}."
        )
    return int(text[:-1]) * _SECONDS[text[-1]]


def _print(findings: Sequence[Finding], console: Console) -> None:
    from rich.table import Table

    table = Table("where", "what does not fit", "what mends it", box=None, padding=(0, 2, 0, 0))
    for it in findings:
        table.add_row(it.where, it.what, it.mend)
    console.print(table, highlight=False, markup=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
