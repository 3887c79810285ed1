"""`TrialSource`: the trials that the coordinator trains, and their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sweeps.search.allocation.grants import Grant
from sweeps.study.trial import LiveTrial


class TrialSource(Protocol):
    """Source of live trials: `Trials` of a study, or `Repeats` of some of them."""

    @property
    def width(self) -> int:
        """Number of trials in training at a time."""

    @property
    def trains_ahead(self) -> bool:
        """Whether all epochs granted to a trial are needed, unless it diverges."""

    def asked(self) -> int:
        """Target number of trials."""

    def left(self) -> int:
        """Number of trials still to be started."""

    def next(self) -> Grant | None:
        """The next grant of epochs; None: wait for the next result."""

    def ask(self) -> LiveTrial:
        """A new trial, with its first epochs granted."""

    def close(self) -> str:
        """Store that no more epochs are granted; returns the reason where users need one."""

    def is_reached(self) -> bool:
        """Whether a trial reached the target of the objective, which ends all others."""

    def most_epochs(self) -> int | None:
        """Upper bound of the epochs trained in all; None: unlimited."""

    def begun(self) -> Iterator[LiveTrial]:
        """The trials started earlier, in the order of their numbers."""
