"""`TrialSource`: what the coordinator trains, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sweeps.search.allocation.grants import Grant
from sweeps.study.trial import LiveTrial


class TrialSource(Protocol):
    """Where live trials come from: `Trials` of a sweep, `Repeats` of some of them."""

    @property
    def width(self) -> int:
        """How many are in training at a time."""

    @property
    def trains_ahead(self) -> bool:
        """Whether all epochs that a trial is granted are needed, unless it diverges."""

    def asked(self) -> int:
        """How many there are to be in all."""

    def left(self) -> int:
        """How many are still to be asked for."""

    def next(self) -> Grant | None:
        """What a free worker does next; None: nothing until one has come further."""

    def ask(self) -> LiveTrial:
        """A new one, with the epochs that it is granted at first."""

    def close(self) -> str:
        """Store that nothing more is granted; why not, for people, where that needs saying."""

    def most_epochs(self) -> int | None:
        """The most that are trained in all; None: not limited."""

    def begun(self) -> Iterator[LiveTrial]:
        """Those that earlier starts began."""
