"""`Tracker`: something that shows runs to people, and its twin that shows nothing."""

from __future__ import annotations

from typing import Protocol

from trainer.tracking.record import RunRecord


class Tracker(Protocol):
    """Something that shows runs to people."""

    def sync(self, record: RunRecord) -> None:
        """Make the copy of the run match the record; doing it twice changes nothing."""

    def is_whole(self, record: RunRecord) -> bool:
        """Whether the copy already shows the record to its end."""


class NullTracker:
    """Shows nothing to nobody, so that no loop has to ask whether there is a tracker."""

    def sync(self, record: RunRecord) -> None:
        """Do nothing."""

    def is_whole(self, record: RunRecord) -> bool:
        """Nothing is ever missing."""
        return True
