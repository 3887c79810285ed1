"""Delivery: a thread makes the tracker's runs match their records; training never waits for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from trainer.tracking.record import RunRecord
from trainer.tracking.tracker import Tracker

_RETRY_SECONDS = 2.0


class Delivery:
    """Delivers the latest record of each run, in the order in which the runs first came.

    What the tracker refuses is tried again until it is taken or the drain's time is up; a later
    start delivers what is then still missing.

    Args:
        tracker: used by one thread at a time.

    Attributes:
        problem: why the tracker does not take what it is sent; "" where it does.
        is_used: whether anything was put.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._waiting: OrderedDict[str, RunRecord] = OrderedDict()
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
            return len(self._waiting) + (self._sending is not None)

    def _run(self) -> None:
        while (record := self._next()) is not None:
            try:
                with self._tracker_free:
                    self._tracker.sync(record)
                problem = ""
            except Exception as error:  # MLflow's, a database's, a network's: all may pass
                problem = f"{type(error).__name__}: {error}".splitlines()[0]
            with self._changed:
                self._sending = None
                self.problem = problem
                if problem:
                    self._waiting.setdefault(record.id, record)
                    self._waiting.move_to_end(record.id, last=False)
                self._changed.notify_all()
                if problem and not self._stopped:
                    self._changed.wait_for(lambda: self._stopped, _RETRY_SECONDS)

    def _next(self) -> RunRecord | None:
        """Wait for something to send; None when there is to be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if self._stopped:
                return None
            _, self._sending = self._waiting.popitem(last=False)
            return self._sending
