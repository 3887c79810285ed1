"""How facts are shown to people: the console, and numbers in words."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDE = 1000  # columns, where no terminal has fewer: lines stay whole for grep


def open_console(*, colours: bool | None = None) -> Console:
    """A console that prints names as they are, and wraps lines in a terminal only.

    Args:
        colours: whether to print colours; None: in a terminal.
    """
    width = None if sys.stdout.isatty() else _WIDE
    return Console(force_terminal=colours, width=width, emoji=False)


def counted(epochs: int) -> str:
    """A number of epochs in words."""
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def duration(seconds: float) -> str:
    """Seconds, minutes, or hours and minutes."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
