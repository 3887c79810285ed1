"""`python -m sweeps.promote`: the winner's weights, or another trial's, become the champion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sweeps.config import ConfirmConfig, Places
from trainer import options

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@options.takes
def command(
    *,
    chosen: Annotated[ConfirmConfig, options.Flags(ConfirmConfig, only=["study"])],
    trial: Annotated[
        int | None, typer.Option(help="Its number.", show_default="the winner", metavar="N")
    ] = None,
    places: Annotated[Places, options.Flags(Places, only=["tracking_uri", "data"])],
) -> int:
    """Register the best weights of a trial as a model of MLflow, and call it champion."""
    from sweeps.champion import promote

    promotion = promote(chosen.study, places, trial)
    print("\n".join(promotion.lines))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
