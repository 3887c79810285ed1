"""`python -m sweeps.space`: check a search space and print it as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sweeps.space import open_space
from trainer.settings import flags
from trainer.settings.config import TrainConfig

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@flags.takes
def show_space(
    *,
    space: Annotated[
        str,
        typer.Argument(
            help="A PATH.toml or package.module:function.",
            show_default="the default space",
            metavar="[SPACE]",
        ),
    ] = "",
    base: Annotated[TrainConfig, flags.Flags(TrainConfig, only=["epochs", "trainable"])],
    show: Annotated[
        bool, typer.Option("--show", help="Print the file of the default space, as a template.")
    ] = False,
) -> int:
    """Check a search space and print its parameters and their values."""
    from sweeps.space.file import default_text

    if show:
        print(default_text(), end="")
        return 0
    opened = open_space(space, base)
    opened.check(base)
    rows = [(name, f"{count:>7}", what) for name, count, what in opened.rows(base)]
    width = max(len(name) for name, *_ in rows)
    for name, count, what in [("", " values", ""), *rows]:
        print(f"{name:{width}} {count}  {what}".rstrip())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
