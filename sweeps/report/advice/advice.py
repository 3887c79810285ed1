"""`Advice`: a suggestion for the next sweep, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from sweeps.space.described import Change, lines_of


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A suggestion: changes of the search space, flags, or a command.

    Attributes:
        seen: a sentence on the finding.
        evidence: numbers of the trials that show it.
        changes: changes of the search space.
        flags: flags of `python -m sweeps.run` and their values.
        command: command to run next; with flags, `summarize` sets the one that sweeps again with
            the study's settings and these flags; "": none.
    """

    seen: str
    evidence: tuple[int, ...]
    changes: tuple[Change, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def lines(self) -> list[str]:
        """Lines for the file of a space, and the command."""
        return [*lines_of(self.changes), *([self.command] if self.command else [])]


def evidence_of(trials: pd.DataFrame) -> tuple[int, ...]:
    """The numbers of these trials, as evidence."""
    return tuple(map(int, trials["trial"]))
