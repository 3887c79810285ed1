"""`python -m sweeps.confirm`: train the best trials of a study again from other seeds."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from sweeps.settings.execution import ConfirmConfig, Places
from trainer.settings import flags

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@flags.takes
def command(config: ConfirmConfig, places: Places) -> int:
    """Train the best trials of a study again from other seeds, and compare them."""
    from sweeps.engine.repeats import confirm
    from sweeps.engine.view import open_view
    from sweeps.report.publish import conclude
    from sweeps.report.showing import open_console

    console = open_console()
    with open_view(console) as view:
        done = confirm(config, places, view)
    conclude(config.study, places.tracking_uri, console)
    if not done:
        console.print("Stopped by --timeout; the same command resumes the confirmation.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
