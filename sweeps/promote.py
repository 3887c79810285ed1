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
@options.takes(
    study_given=options.Flags(ConfirmConfig, only=("study",)),
    places_given=options.Flags(Places, only=("tracking_uri", "data")),
)
def command(
    *,
    study_given: options.Given,
    trial: Annotated[
        int | None, typer.Option(help="Its number.", show_default="the winner", metavar="N")
    ] = None,
    places_given: options.Given,
) -> int:
    """Register the best weights of a trial as a model of MLflow, and call it champion."""
    from sweeps.champion import promote

    promotion = promote(study_given.get("study"), Places(**places_given), trial)
    print("\n".join(promotion.lines))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return options.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
