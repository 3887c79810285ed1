"""The library: `sweep`, a whole sweep as one call, with DataFrames as its result."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pandas as pd

from sweeps.engine.progress import Progress, View
from sweeps.engine.purity import brings_code
from sweeps.engine.session import run_sweep
from sweeps.engine.view import open_view
from sweeps.errors import SweepError
from sweeps.report.compare.ranking import Winner
from sweeps.report.publish import publish
from sweeps.report.reading.frames import load_study
from sweeps.report.showing import open_console
from sweeps.report.summary import summarize
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from trainer.settings.paths import Paths


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """The result of a sweep.

    Attributes:
        study: its name.
        done: whether it has all its trials; False if `SweepConfig.timeout` came first.
        best: the winner; None if no trial has a result.
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
    """Run or resume a sweep, as `python -m sweeps.run --no-promote` does.

    The same call resumes a sweep that was stopped, by Ctrl-C too; once all trials are there it
    trains nothing. A script must call it under `if __name__ == "__main__":` where processes are
    started: by the executor "local", or to test whether users' code is deterministic.

    Args:
        config: what to search, and how.
        places: where things are stored; by default in the working folder.
        progress: whether to show the progress, as the command does.

    Raises:
        SweepError: it cannot be run or read, or the script lacks that line, or another thread of
            this process runs a sweep.
        TrainerError: nothing can be trained here; the base of all expected errors.
    """
    check_guard(config.executor == "local" or brings_code(config))
    with one_sweep(), open_view(open_console()) if progress else _silence() as view:
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


_sweeping = threading.Lock()


@contextmanager
def one_sweep() -> Iterator[None]:
    """Refuse a second sweep at the same time: torch's settings, code and data are global."""
    if not _sweeping.acquire(blocking=False):
        raise SweepError(
            "A process must run one sweep at a time, but another thread runs one; start the second "
            "in a process of its own."
        )
    try:
        yield
    finally:
        _sweeping.release()


class _Silent:
    """The view that shows nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


@contextmanager
def _silence() -> Iterator[View]:
    yield _Silent()


def check_guard(starts_processes: bool) -> None:
    """Refuse to start a sweep that each worker process would start again.

    A spawned process first imports the script it was started from, under another `__name__`.
    Notebooks, `python -c` and `python -m package` have no such script.

    Args:
        starts_processes: whether the sweep starts any.

    Raises:
        SweepError: this is such a process, importing the script; or the calling line of the script
            is not under an `if` on `__name__`. The message says which lines to write.
    """
    main = vars(sys.modules["__main__"])
    for frame in _scripts():
        name, script = frame.f_globals.get("__name__"), frame.f_globals.get("__file__")
        if name == "__mp_main__":
            raise SweepError(_message(str(script), _statement(str(script), frame.f_lineno)))
        if starts_processes and frame.f_globals is main and script and not _is_package(main):
            statement = _statement(script, frame.f_lineno)
            if statement is not None and not _is_guarded(statement, frame.f_lineno):
                raise SweepError(_message(script, statement))


def _scripts() -> Iterator[FrameType]:
    """The frames that run the top level of a module."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            yield frame
        frame = frame.f_back


def _is_package(main: dict[str, object]) -> bool:
    """Whether it is a package's `__main__`, which is not imported again."""
    spec = main.get("__spec__")
    return str(getattr(spec, "name", "")).rpartition(".")[2] == "__main__"


def _statement(script: str, line: int) -> ast.stmt | None:
    """The top-level statement of a script that contains this line; None if unreadable."""
    try:
        top = ast.parse(Path(script).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None
    return next((it for it in top if it.lineno <= line <= (it.end_lineno or it.lineno)), None)


def _is_guarded(statement: ast.stmt, line: int) -> bool:
    """Whether the line is under an `if` whose test has `__name__` in it."""
    return any(
        isinstance(node, ast.If)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        and any(isinstance(it, ast.Name) and it.id == "__name__" for it in ast.walk(node.test))
        for node in ast.walk(statement)
    )


def _message(script: str, statement: ast.stmt | None) -> str:
    call = "result = sweep(config)" if statement is None else ast.unparse(statement)
    line = "" if statement is None else f":{statement.lineno}"
    return (
        f"{script}{line} must call the sweep under an `if`, as each worker process imports this "
        f'file again and would begin the sweep anew. Write:\n\nif __name__ == "__main__":\n    '
        + call.partition("\n")[0]
    )
