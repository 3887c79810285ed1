"""Delivery: a thread makes MLflow's runs match their records; training never waits for it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from sweeps.report.showing import counted
from trainer.errors import LostRuns, LostState
from trainer.tracking.connection import first_line
from trainer.tracking.record import RunRecord
from trainer.tracking.tracker import Tracker

_MOST_LETTERS = 200  # letters of a reason: requests repeats the address three times
_QUIET_SECONDS = 10.0  # a record may wait before this is reported
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 2.0  # before a record is retried
_FIRST_PAUSE_SECONDS = 0.05  # after a failure; longer after each further one


class Delivery:
    """Delivers the latest record of each run, in the order in which the runs were first put.

    A record that the tracker refuses is retried after all others until it is accepted or the
    drain's time is up; only child runs of a refused run wait for it. A checkpoint whose state is no
    longer stored is left to a later start, which trains it again and delivers what is missing. If
    the tracker lost runs, all runs that were delivered are delivered again.

    Args:
        tracker: used by one thread at a time.
        quiet_seconds: how long a record may wait before `problem` reports it.

    Attributes:
        reason: why the tracker last refused a record; "" if it accepted all.
        is_used: whether anything was put.
    """

    def __init__(self, tracker: Tracker, quiet_seconds: float = _QUIET_SECONDS) -> None:
        self._tracker = tracker
        self._quiet_seconds = quiet_seconds
        self._since: dict[str, float] = {}  # when each run that is not delivered began to wait
        self._is_behind = False  # since one waited for long, until none waits
        self._delivered: dict[str, RunRecord] = {}
        self._taken = 0
        self._waiting: OrderedDict[str, RunRecord] = OrderedDict()
        self._due: dict[str, float] = {}  # of those that were refused: not before
        self._left: set[str] = set()  # left to a later start
        self._failures = 0  # since the last success
        self._sending: RunRecord | None = None
        self._held: RunRecord | None = None
        self._changed = threading.Condition()
        self._tracker_free = threading.Lock()
        self._stopped = False
        self.reason = ""
        self.is_used = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._thread.start()

    def put(self, record: RunRecord) -> None:
        """Deliver this record, in place of any earlier one of its run."""
        with self._changed:
            for item in filter(None, (self._held, record)):
                self._add(item)
                self._left.discard(item.id)
            self._held, self.is_used = None, True
            self._changed.notify_all()

    def hold(self, record: RunRecord) -> None:
        """Deliver this record just before the next one that is put; never if none is."""
        with self._changed:
            self._held = record

    def is_whole(self, record: RunRecord) -> bool:
        """Whether the tracker already shows the final record."""
        with self._tracker_free:
            return self._tracker.is_whole(record)

    def state_keys(self) -> set[str]:
        """Keys of the states that undelivered checkpoints need."""
        with self._changed:
            records = [*self._waiting.values(), *([self._sending] if self._sending else [])]
        return {item.key for record in records for item in record.checkpoints.values()}

    @property
    def undelivered(self) -> int:
        """Number of runs whose latest record is not delivered."""
        return len(self._since)

    @property
    def problem(self) -> str:
        """For people: how many runs wait, since when and why; "" while the tracker keeps up."""
        with self._changed:
            now = time.monotonic()
            waits = now - min(self._since.values(), default=now)
            self._is_behind = bool(self._since) and (
                self._is_behind or waits >= self._quiet_seconds
            )
            if not self._is_behind:
                return ""
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - waits))
            why = self.reason or "it is slow, or does not answer"
            return f"{counted(self.undelivered, 'run')} waiting since {since}: {why}"

    def drain(self, seconds: float, waiting: Callable[[float], None] = lambda left: None) -> int:
        """Wait until all is delivered, or nothing was delivered for `seconds`, and end the thread.

        Args:
            seconds: time limit since the last delivered run.
            waiting: called every second with the seconds left.

        Returns:
            Number of runs that were not delivered.
        """
        with self._changed:
            now = time.monotonic()
            taken, deadline, look = self._taken, now + seconds, now + _LOOK_SECONDS
            while self._since and now < deadline:
                self._changed.wait(min(deadline, look) - now)
                now = time.monotonic()
                if self._taken != taken:
                    taken, deadline = self._taken, now + seconds
                if self._since and now >= look:
                    look = now + _LOOK_SECONDS
                    waiting(deadline - now)
            self._stopped = True
            self._changed.notify_all()
            return len(self._since) + len(self._left)

    def _add(self, record: RunRecord) -> None:
        self._waiting[record.id] = record
        self._since.setdefault(record.id, time.monotonic())

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
        if error is None or isinstance(error, LostState):
            del self._since[record.id]
            if record.id in self._waiting:  # a newer one came meanwhile
                self._since[record.id] = time.monotonic()
        if error is None:
            self._taken += 1
            self._left.discard(record.id)
            self._delivered[record.id] = record
            self._failures = 0
            if not self._due and not self._left:
                self.reason = ""
            return
        self.reason = _in_words(error)
        if isinstance(error, LostState):
            self._left.add(record.id)
            return
        self._failures += 1
        self._waiting.setdefault(record.id, record)
        self._waiting.move_to_end(record.id)
        if isinstance(error, LostRuns):
            self._is_behind = True  # reported at once
            newer, self._waiting = self._waiting, OrderedDict()
            for item in (self._delivered | newer).values():
                self._add(item)
            return
        self._due[record.id] = time.monotonic() + _RETRY_SECONDS
        pause = min(_RETRY_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._failures)
        self._changed.wait_for(lambda: self._stopped, pause)

    def _next(self) -> RunRecord | None:
        """Wait for a record to send; None when no more will come."""
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


def _in_words(error: Exception) -> str:
    line = f"{type(error).__name__}: {first_line(error)}"
    return line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}..."
