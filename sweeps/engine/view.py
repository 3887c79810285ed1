"""Views of a sweep: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sweeps.engine.progress import Progress, View
from sweeps.report.showing import duration
from trainer.errors import printable

_PLAIN_SECONDS = 30.0


class PlainView:
    """A line for each trial that ends, and a progress line from time to time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said_at = 0.0
        self._has_problem = False
        self._is_closing = False

    def show(self, progress: Progress) -> None:
        """Print a progress line from time to time, and when MLflow falls behind or catches up."""
        if progress.closing:
            if not self._is_closing:
                self.say(progress.closing)
            self._is_closing = True
            return
        if bool(progress.problem) != self._has_problem:
            self._has_problem = bool(progress.problem)
            self.say(f"MLflow: {progress.problem}" if progress.problem else "MLflow answers again.")
        if progress.seconds - self._said_at >= _PLAIN_SECONDS:
            self._said_at = progress.seconds
            self.say(_headline(progress))

    def say(self, line: str) -> None:
        """Print it."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView:
    """A panel that is redrawn in place, below the lines that stay."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, progress: Progress) -> None:
        """Draw the panel."""
        self._live.update(_panel(progress))

    def say(self, line: str) -> None:
        """Print it above the panel."""
        self._live.console.print(line, highlight=False, markup=False)


@contextmanager
def open_view(console: Console) -> Iterator[View]:
    """The view that fits the console; after an interrupt it says how to resume."""
    try:
        if console.is_terminal:
            opening = Spinner("dots", "opening the data, the study and MLflow")
            with Live(opening, console=console, refresh_per_second=4, transient=True) as live:
                yield LiveView(live)
        else:
            yield PlainView(console)
    except KeyboardInterrupt:
        console.print("Stopped; the same command resumes from here.")
        raise


def _headline(progress: Progress) -> str:
    words = [f"{progress.done}/{progress.trials} trials ({progress.counts()})"]
    if progress.best is not None:
        words.append(
            f"best {progress.objective} {progress.best.value:.4f} (trial {progress.best.trial})"
        )
    words.append(f"epochs {progress.trained} trained, {progress.reused} reused")
    words.append(progress.time_left())
    return "; ".join(words)


def _panel(progress: Progress) -> Group:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("study", progress.study)
    bar = ProgressBar(total=progress.trials, completed=progress.done, width=30)
    facts.add_row("trials", f"{progress.done} of {progress.trials}: {progress.counts()}")
    facts.add_row("", bar)
    if progress.best is not None:
        best = progress.best
        facts.add_row(
            "best", f"{progress.objective} {best.value:.4f}  trial {best.trial}: {best.label}"
        )
    facts.add_row("epochs", f"{progress.trained} trained, {progress.reused} reused")
    facts.add_row("time", f"{duration(progress.seconds)} gone, {progress.time_left()}")
    for number, busy in enumerate(progress.busy, start=1):
        what = f"trial {busy.trial} epoch {busy.epoch}/{progress.epochs}: {busy.label}"
        facts.add_row(f"worker {number}", f"{what}  {duration(busy.seconds)}")
    if progress.closing:
        facts.add_row("MLflow", progress.closing)
    elif progress.problem:
        facts.add_row("MLflow", Text(printable(progress.problem), style="red"))
    return Group(Text(), facts)
