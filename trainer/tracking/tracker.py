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

    def unfinished(self, group: str) -> str | None:
        """The id of a record in the group whose run did not end by itself; None: there is none."""


class NullTracker:
    """The no-op tracker: no loop has to ask whether there is a tracker."""

    def sync(self, record: RunRecord) -> None:
        """Do nothing."""

    def is_whole(self, record: RunRecord) -> bool:
        """Nothing is ever missing."""
        return True

    def unfinished(self, group: str) -> str | None:
        """There are no runs."""
        return None
