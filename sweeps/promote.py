"""`python -m sweeps.promote`: the winner's weights, or another trial's, become the champion."""

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
    trial: Annotated[
        int | None, typer.Option(help="Its number.", show_default="the winner", metavar="N")
    ] = None,
    tracking_uri: options.TrackingUri = None,
    data_dir: options.DataDir = None,
) -> int:
    """Register the best weights of a trial as a model of MLflow, and call it champion."""
    from sweeps.champion import promote
    from sweeps.session import Places

    promotion = promote(study, Places(tracking_uri=tracking_uri, data=data_dir), trial)
    print("\n".join(promotion.lines))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
