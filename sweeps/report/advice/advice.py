"""`Advice`: one thing to try next, its evidence, and the change it proposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from sweeps.space.described import Change, lines_of


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One thing to try next: a change of the space, flags, or a command.

    Attributes:
        seen: the observation, a sentence with its numbers.
        evidence: numbers of the trials that support it.
        changes: of the search space.
        flags: of `python -m sweeps.run`, with their values.
        command: to run now; for advice with flags, once the study's settings are known, the command
            of a sweep with both; "": none.
    """

    seen: str
    evidence: tuple[int, ...]
    changes: tuple[Change, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def lines(self) -> list[str]:
        """What to type: valid lines of a space file, or the command."""
        return [*lines_of(self.changes), *([self.command] if self.command else [])]


def evidence_of(trials: pd.DataFrame) -> tuple[int, ...]:
    """The numbers of these trials, as evidence."""
    return tuple(map(int, trials["trial"]))
