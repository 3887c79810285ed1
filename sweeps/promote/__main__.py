"""`python -m sweeps.promote`: register the winner, or another trial, as the champion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sweeps.settings.execution import ConfirmConfig, Places
from trainer.settings import flags

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@flags.takes
def command(
    *,
    chosen: Annotated[ConfirmConfig, flags.Flags(ConfirmConfig, only=["study"])],
    trial: Annotated[
        int | None,
        typer.Option(help="Number of the trial.", show_default="the winner", metavar="N"),
    ] = None,
    places: Annotated[Places, flags.Flags(Places, only=["tracking_uri", "data"])],
) -> int:
    """Register the best weights of a trial as an MLflow model with the alias champion."""
    from sweeps.promote.champion import promote

    promotion = promote(chosen.study, places, trial)
    print("\n".join(promotion.lines))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
