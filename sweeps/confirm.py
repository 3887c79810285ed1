"""`python -m sweeps.confirm`: the best trials of a study, trained again from other seeds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sweeps import options as sweep_options
from trainer import options

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def command(
    study: sweep_options.Study = None,
    top: Annotated[
        int,
        typer.Option(help="How many of its best trials, of each value if it compares some."),
    ] = 3,
    repeats: sweep_options.Repeats = 5,
    workers: sweep_options.Workers = "auto",
    executor: sweep_options.Executor = "local",
    timeout: sweep_options.Timeout = None,
    tracking_uri: options.TrackingUri = None,
    storage: sweep_options.Storage = None,
    stages: options.Stages = None,
    data_dir: options.DataDir = None,
) -> int:
    """Train the best trials of a study again from other seeds, and say which is better."""
    from sweeps.repeats import ConfirmConfig, confirm
    from sweeps.report.publish import conclude
    from sweeps.session import Places
    from sweeps.showing import open_console
    from sweeps.view import open_view

    config = ConfirmConfig(
        study=study,
        top=top,
        repeats=repeats,
        executor=executor,
        workers=sweep_options.parse_workers(workers),
        timeout=timeout,
    )
    places = Places(tracking_uri=tracking_uri, storage=storage, stages=stages, data=data_dir)
    console = open_console()
    with open_view(console) as view:
        done = confirm(config, places, view)
    conclude(study, tracking_uri, console)
    if not done:
        console.print("The time is up; the same command goes on from here.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
