"""The library: `sweep`, a whole sweep as one call, with DataFrames as its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pandas as pd

from sweeps.engine.guard import check_guard
from sweeps.engine.progress import Progress, View
from sweeps.engine.purity import brought
from sweeps.engine.session import run_sweep
from sweeps.engine.view import open_view
from sweeps.report.compare.ranking import Winner
from sweeps.report.publish import publish
from sweeps.report.reading.frames import load_study
from sweeps.report.showing import open_console
from sweeps.report.summary import summarize
from sweeps.settings.config import Places, SweepConfig
from trainer.settings.paths import Paths


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """What a sweep found.

    Attributes:
        study: its name.
        done: whether it has all its trials; False where `SweepConfig.timeout` came first.
        best: the winner; None where no trial has a result.
        trials: a row a trial; see `load_trials`.
        curves: a row a trial and epoch; see `load_curves`.
    """

    study: str
    done: bool
    best: Winner | None
    trials: pd.DataFrame = field(repr=False)
    curves: pd.DataFrame = field(repr=False)


def sweep(
    config: SweepConfig,
    places: Places = Places(),  # noqa: B008 - frozen
    progress: bool = True,
) -> SweepResult:
    """Run a sweep, or go on with it, as `python -m sweeps.run --no-promote` does.

    The same call again goes on where it was stopped, by Ctrl-C too; when all trials are there it
    trains nothing. A script must call it under `if __name__ == "__main__":` where processes are
    started: by the executor "local", or to try whether code that is brought repeats.

    Args:
        config: what to search, and how.
        places: where things are kept, where that is not the working folder.
        progress: whether to show where it stands, as the command does.

    Raises:
        SweepError: it cannot be run or read, or the script lacks that line.
        TrainerError: nothing can be trained here; the base of all expected errors.
    """
    check_guard(config.executor == "local" or any(brought(config)))
    with open_view(open_console()) if progress else _silence() as view:
        done = run_sweep(config, places, view)
    frames = load_study(config.study_name, places.tracking_uri)
    publish(frames, places.tracking_uri or Paths.here().tracking_uri)
    return SweepResult(
        study=config.study_name,
        done=done,
        best=summarize(frames).winner,
        trials=frames.trials,
        curves=frames.curves,
    )


class _Silent:
    """The view that shows nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


@contextmanager
def _silence() -> Iterator[View]:
    yield _Silent()
