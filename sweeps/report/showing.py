"""The console, and formats of numbers."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from trainer.errors import printable

_MARKDOWN = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|^\s*(?:#+|[+-]+|\d+[.)])(?=\s|$)")
"""What Markdown takes for more than text; "_" within a word is text."""

_WIDE = 1000  # columns if stdout is not a terminal, so that lines stay whole for grep


class _Console(Console):
    """A console on which texts cannot move the cursor, change colours or write backwards."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text, with control characters as escapes."""
        return super().render_str(printable(text, keep="\n"), **options)


def open_console(*, colours: bool | None = None) -> Console:
    """A console that wraps lines only in a terminal, and prints names like ":x:" unchanged.

    Args:
        colours: whether to print colours; None: only in a terminal.
    """
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(force_terminal=colours, width=width, emoji=False)


def in_markdown(text: str) -> str:
    """Markdown that shows the text as it is, on one line."""
    escaped = _MARKDOWN.sub(lambda it: f"{it[0][:-1]}\\{it[0][-1]}", printable(text))
    return escaped.replace("&", "&amp;")


def counted(number: int, noun: str = "epoch") -> str:
    """A number with its noun, such as "2 epochs"."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes, or hours and minutes."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"


def short(value: Any) -> str:
    """Six significant digits, more if the value would be rounded to 1; "" for missing values."""
    import pandas as pd

    if value is None or pd.isna(value):
        return ""
    if not isinstance(value, float):
        return printable(str(value))
    texts = (f"{value:.{digits}g}" for digits in range(6, 18))
    return next(text for text in texts if float(text) != 1 or value == 1)


def rounded(value: float, digits: int = 4) -> str:
    """A mean or a bound of an interval, with few significant digits; "" for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}g}"


def size(value: float) -> str:
    """A difference with two significant digits, or as a whole number."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def share(part: int, whole: int) -> str:
    """A share as "1 of 30 (3 %)"; never rounded to 0 % or 100 %."""
    if not whole:
        return "0 of 0"
    percent = 100 * part / whole
    shown = "<1" if 0 < percent < 1 else ">99" if 99 < percent < 100 else f"{percent:.0f}"
    return f"{part} of {whole} ({shown} %)"
