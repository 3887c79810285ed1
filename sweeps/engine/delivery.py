"""Delivery: a thread makes the tracker's runs match their records; training never waits for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from trainer.errors import LostState
from trainer.tracking.record import RunRecord
from trainer.tracking.tracker import Tracker

_RETRY_SECONDS = 2.0  # before a record is sent again
_FIRST_PAUSE_SECONDS = 0.05  # after a failure; longer after each further one


class Delivery:
    """Delivers the latest record of each run, in the order in which the runs first came.

    What the tracker refuses is tried again, after all others, until it is taken or the drain's time
    is up; only runs below one that is refused wait for it. A checkpoint whose state is no longer
    stored is left for a later start, which trains it again and delivers whatever is still missing.

    Args:
        tracker: used by one thread at a time.

    Attributes:
        problem: why the tracker does not take what it is sent; "" where it does.
        is_used: whether anything was put.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._waiting: OrderedDict[str, RunRecord] = OrderedDict()
        self._due: dict[str, float] = {}  # of those that were refused: not before
        self._left: set[str] = set()  # for a later start
        self._failures = 0  # since the last success
        self._sending: RunRecord | None = None
        self._held: RunRecord | None = None
        self._changed = threading.Condition()
        self._tracker_free = threading.Lock()
        self._stopped = False
        self.problem = ""
        self.is_used = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def put(self, record: RunRecord) -> None:
        """Deliver this record in place of any earlier one of its run."""
        with self._changed:
            for item in filter(None, (self._held, record)):
                self._waiting[item.id] = item
                self._left.discard(item.id)
            self._held, self.is_used = None, True
            self._changed.notify_all()

    def hold(self, record: RunRecord) -> None:
        """Deliver this record just before the next one that is put; never where none is."""
        with self._changed:
            self._held = record

    def is_whole(self, record: RunRecord) -> bool:
        """Whether the tracker already shows the record to its end."""
        with self._tracker_free:
            return self._tracker.is_whole(record)

    def state_keys(self) -> set[str]:
        """Keys of the states that undelivered checkpoints need."""
        with self._changed:
            records = [*self._waiting.values(), *([self._sending] if self._sending else [])]
        return {item.key for record in records for item in record.checkpoints.values()}

    def drain(self, seconds: float) -> int:
        """Wait until all is delivered, `seconds` at most, and end the thread; runs left behind."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._waiting or self._sending:
                if not self._changed.wait(deadline - time.monotonic()):
                    break
            self._stopped = True
            self._changed.notify_all()
            return len(self._waiting) + len(self._left) + (self._sending is not None)

    def _run(self) -> None:
        while (record := self._next()) is not None:
            error = None
            try:
                with self._tracker_free:
                    self._tracker.sync(record)
            except Exception as raised:  # MLflow's, a database's, a network's: all may pass
                error = raised
            with self._changed:
                self._sending = None
                self._settle(record, error)
                self._changed.notify_all()

    def _settle(self, record: RunRecord, error: Exception | None) -> None:
        self._due.pop(record.id, None)
        if error is None:
            self._failures = 0
            if not self._due and not self._left:
                self.problem = ""
            return
        self.problem = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, LostState):
            self._left.add(record.id)
            return
        self._failures += 1
        self._waiting.setdefault(record.id, record)
        self._waiting.move_to_end(record.id)
        self._due[record.id] = time.monotonic() + _RETRY_SECONDS
        pause = min(_RETRY_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._failures)
        self._changed.wait_for(lambda: self._stopped, pause)

    def _next(self) -> RunRecord | None:
        """Wait for something to send; None when there is to be no more."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                for id, record in self._waiting.items():
                    if self._due.get(id, 0.0) <= now and record.parent not in self._waiting:
                        self._sending = self._waiting.pop(id)
                        return self._sending
                due = [self._due[id] for id in self._waiting if id in self._due]
                self._changed.wait(max(0.0, min(due) - now) if due else None)
            return None
