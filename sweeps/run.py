"""`python -m sweeps.run`: run or resume a sweep."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import ConfirmConfig, Places
from sweeps.space import SEARCHED
from sweeps.space.override import override
from trainer.errors import ConfigError
from trainer.settings import flags
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.tracking.connection import check_server

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@flags.takes
def sweep(
    *,
    given: Annotated[flags.Given, flags.Flags(SweepConfig)],
    train_given: Annotated[flags.Given, flags.Flags(TrainConfig, but=SEARCHED)],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Values of a parameter, which override those of the space: one (momentum=0.9), "
            "several (optimizer=SGD,AdamW), a range (lr=1e-4..1e-2; with steps "
            "gamma=0.1..0.9/0.1), or TOML as in the file of a space.",
            metavar="NAME=VALUES",
        ),
    ] = None,
    places: Places,
    confirm: Annotated[
        int | None,
        typer.Option(
            help="After the search, train the best K trials again from other seeds; with --compare "
            "the best K of each value, 3 by default.",
            metavar="K",
        ),
    ] = None,
    repeats: Annotated[flags.Given, flags.Flags(ConfirmConfig, only=["repeats"])],
    promote: Annotated[
        bool,
        typer.Option(
            "--promote/--no-promote",
            help="Register the winner's weights as a model of MLflow.",
            show_default="promote",
        ),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only estimate epochs, time and disk, from a few timed batches."
        ),
    ] = False,
) -> int:
    """Search for the best optimizer, lr, step_size and gamma, or what --space names.

    The same command resumes a stopped sweep, also after a crash. Watch it with: mlflow ui
    """
    if not dry_run:
        check_server(places.tracking_uri or Paths.here().tracking_uri)  # before slow imports

    from sweeps.engine.estimate import estimate
    from sweeps.engine.repeats import confirm as confirm_best
    from sweeps.engine.session import run_sweep
    from sweeps.engine.view import open_view
    from sweeps.report.publish import conclude
    from sweeps.report.showing import open_console

    if "objective" in given:
        first, _, second = (part.strip() for part in given["objective"].partition(","))
        given |= {"objective": first, "second": second}
    train, given["space"] = override(
        TrainConfig(**train_given), given.get("space", ""), settings or ()
    )
    config = SweepConfig(train=train, **given)
    best = _confirmation(config, confirm, repeats)
    console = open_console()
    if not isinstance(config.space, str):
        console.print(_search_space(config), highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        console.print(estimate(config, places), highlight=False, soft_wrap=True)
        return 0
    console.print(f"study {config.study_name}", highlight=False)
    with open_view(console) as view:
        began = time.monotonic()
        done = run_sweep(config, places, view)
        if done and best is not None:
            if best.timeout is not None:  # applies to both together
                left = best.timeout - (time.monotonic() - began)
                best = replace(best, timeout=max(left, 1e-9))
            done = confirm_best(best, places, view)
    lines = _promoted(config.study_name, places) if done and promote else []
    conclude(config.study_name, places.tracking_uri, console)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not done:
        console.print("Stopped by --timeout; the same command resumes the sweep.")
    return 0


def _search_space(config: SweepConfig) -> str:
    """The space that `--set` led to, for people."""
    *rows, _ = config.search_space.rows(config.train)
    return "\n".join(("search space:", *(f"  {name}: {values}" for name, _, values in rows)))


def _confirmation(
    config: SweepConfig, top: int | None, repeats: flags.Given
) -> ConfirmConfig | None:
    """The config of the confirmation after the search; None: there is none."""
    if top is None and not config.compare:
        if repeats:
            raise ConfigError("--repeats must be used with --confirm K or --compare NAME.")
        return None
    if top is not None and top < 1:
        raise ConfigError(f"confirm must be a whole number of at least 1, but got {top}.")
    given = config.execution | repeats
    if top is not None:
        given["top"] = top
    return ConfirmConfig(study=config.study_name, **given)


def _promoted(study: str, places: Places) -> list[str]:
    """Register the winner and return messages; errors are only reported, as the sweep is done."""
    from sweeps.promote.champion import promote
    from trainer.errors import TrainerError

    try:
        promotion = promote(study, places)
    except TrainerError as error:
        return [f"The winner is not registered as a model: {error}"]
    return ["The winner as a model:", *(f"  {line}" for line in promotion.lines)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return flags.run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
