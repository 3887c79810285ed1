"""A lease on a study: one coordinator at a time, wherever the study is stored."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import optuna

from sweeps.errors import StudyInUse

LEASE = "lease"
"""User attribute of the study that holds the lease."""

_RENEW_SECONDS = 30.0
_GONE_SECONDS = 150.0  # without a renewal a holder on another machine then counts as dead
_SETTLE_SECONDS = 1.0  # two processes that take a lease at once have both written within this time


@dataclass(frozen=True)
class Holder:
    """The process that holds a study; its start time distinguishes it from a reused pid.

    Attributes:
        host: name of its machine.
        pid: process id.
        started: start time reported by the kernel.
        world: boot of the machine and pid namespace, within which the pid is unique.
    """

    host: str
    pid: int
    started: str
    world: str = ""

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Holder:
        """The process that wrote a lease; earlier versions wrote no world."""
        return cls(held["host"], held["pid"], held["started"], held.get("world", ""))

    @classmethod
    def this_process(cls) -> Holder:
        """The calling process."""
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()), _this_world())

    @property
    def is_visible(self) -> bool:
        """Whether this process can check that it is alive."""
        return self.host == socket.gethostname() and self.world in ("", _this_world())

    @property
    def boot(self) -> str:
        """The boot id of its machine, which containers share."""
        return self.world.partition(" ")[0]

    def may_live(self, seen: float) -> bool:
        """Whether it may be alive; if that cannot be checked, `seen`, its last renewal, decides."""
        if self.is_visible:
            return _start_of(self.pid) == self.started != ""
        return time.time() - seen < _GONE_SECONDS


class Lease:
    """Holds a study for this process.

    Args:
        study: the study to hold.
        lock: a file lock to hold for the same time, which the kernel frees when this process dies;
            None for a study in a database, which is held by its user attribute alone.
        takeover: treat a holder on another machine as dead, however recent its last renewal.

    Raises:
        StudyInUse: another process that may still be alive holds it.
    """

    def __init__(
        self,
        study: optuna.Study,
        lock: filelock.BaseFileLock | None = None,
        *,
        takeover: bool = False,
    ) -> None:
        self._study = study
        self._lock = lock
        self._me = Holder.this_process()
        self._nonce = uuid.uuid4().hex
        self._since = time.time()
        self._renewed = 0.0
        with self.released_on_error():
            if lock is not None:
                try:
                    lock.acquire(blocking=False)
                except filelock.Timeout as error:
                    name, other = self._study.study_name, self._running()
                    raise StudyInUse(in_use(name, other) if other else in_use(name)) from error
            if other := self._running(takeover):
                raise StudyInUse(in_use(self._study.study_name, other))
            self._write()
            if lock is None:
                time.sleep(_SETTLE_SECONDS)
            self._check()

    def renew(self) -> None:
        """Record that this process is alive, unless that was done recently.

        Raises:
            StudyInUse: another process took the study because this one did not renew in time.
        """
        if abs(time.time() - self._renewed) > _RENEW_SECONDS:  # clocks jump
            self._check()
            self._write()

    def release(self) -> None:
        """Release the study; if another process took it, it keeps it."""
        try:
            if self._is_mine():
                self._study.set_user_attr(LEASE, None)
        finally:
            if self._lock is not None:
                self._lock.release(force=True)

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        """Release it if the block raises; an error of the release never replaces the block's."""
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self.release()
            raise

    def _running(self, takeover: bool = False) -> str:
        """A description of another process that may be running the study; "" if there is none."""
        held = self._study.user_attrs.get(LEASE)
        if not held:
            return ""
        other = Holder.of(held)
        if other in (self._me, replace(self._me, world="")):  # written by an earlier version
            return ""
        has_lock = self._lock is not None and self._lock.is_locked
        freed = has_lock and other.boot == self._me.boot != ""  # the kernel that both share says so
        if not other.may_live(held["seen"]) or (not other.is_visible and (takeover or freed)):
            return ""
        way = "" if other.is_visible else " (--takeover if that machine is gone for good)"
        return f"{_described(held)}{way}"

    def _check(self) -> None:
        if not self._is_mine():
            raise StudyInUse(in_use(self._study.study_name, "another took it meanwhile"))

    def _is_mine(self) -> bool:
        held = self._study.user_attrs.get(LEASE) or {}
        return bool(held.get("nonce") == self._nonce)

    def _write(self) -> None:
        self._renewed = time.time()
        lease = {**asdict(self._me), "since": self._since, "seen": self._renewed}
        self._study.set_user_attr(LEASE, lease | {"nonce": self._nonce})


def holder_of(study: optuna.Study) -> str:
    """The process that runs the study, for people; "" if there is none that may be alive."""
    held = study.user_attrs.get(LEASE)
    return _described(held) if held and Holder.of(held).may_live(held["seen"]) else ""


def _described(held: Mapping[str, Any]) -> str:
    # an earlier version recorded its last renewal only
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(held.get("since", held["seen"])))
    return f"process {held['pid']} on {held['host']} has been running it since {since}"


def in_use(study: str, by: str = "this one runs it already, or another has just begun to") -> str:
    """The message that another process runs the study."""
    return (
        f"Study {study!r} must be run by one process at a time, but {by}; wait for it, or give "
        "another --study."
    )


def _start_of(pid: int) -> str:
    """Start time of a process of this machine, as reported by the kernel; "" if it is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *words = text.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else words[18]


def _this_world() -> str:
    """The boot of this machine and the pid namespace of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
