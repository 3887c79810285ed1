"""A lease in the study: one coordinator at a time, wherever the study is kept."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from sweeps.errors import StudyInUse
from trainer.files import lock_file

LEASE = "lease"
"""User attribute of the study that holds the lease."""

_RENEW_SECONDS = 30.0
_GONE_SECONDS = 150.0  # a holder on another machine that said nothing for so long is gone
_SETTLE_SECONDS = 1.0  # in which two processes that took a lease at once have both written theirs


@dataclass(frozen=True)
class Holder:
    """Who holds a study: a process, told from a later one with its number by its start time.

    Attributes:
        host: its name.
        pid: number of the process.
        started: when, in the kernel's words.
        world: what has this numbering of processes: a boot of a machine, a container in it.
    """

    host: str
    pid: int
    started: str
    world: str = ""

    @classmethod
    def this_process(cls) -> Holder:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()), _this_world())

    def may_live(self, seen: float) -> bool:
        """Whether it may still run; `seen`, when it last said so, decides where none can look."""
        if self.host == socket.gethostname() and self.world in ("", _this_world()):
            return _start_of(self.pid) == self.started != ""
        return time.time() - seen < _GONE_SECONDS


class Lease:
    """Holds a study for this process.

    Args:
        study: the study to hold.
        lock: a file that lets one process at a time take the lease; None: there is none, as the
            study is not kept in a file.

    Raises:
        StudyInUse: another process that still lives holds it.
    """

    def __init__(self, study: optuna.Study, lock: Path | None = None) -> None:
        self._study = study
        self._me = Holder.this_process()
        self._nonce = uuid.uuid4().hex
        self._renewed = 0.0
        with self.released_on_error():
            with nullcontext() if lock is None else lock_file(lock):
                self._refuse(study.user_attrs.get(LEASE))
                self._write()
            if lock is None:
                time.sleep(_SETTLE_SECONDS)
            self._check()

    def renew(self) -> None:
        """Say that this process still lives; does nothing where it just did.

        Raises:
            StudyInUse: another process took the study, as this one said nothing for too long.
        """
        if abs(time.time() - self._renewed) > _RENEW_SECONDS:  # clocks jump
            self._check()
            self._write()

    def release(self) -> None:
        """Let the next one have the study; where another took it, it stays with that."""
        if self._is_mine():
            self._study.set_user_attr(LEASE, None)

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        """Release it if the block raises; errors of the release are suppressed in favor of that."""
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self.release()
            raise

    def _refuse(self, held: Mapping[str, Any] | None) -> None:
        if not held:
            return
        other = Holder(held["host"], held["pid"], held["started"], held.get("world", ""))
        mine = (self._me, replace(self._me, world=""))  # without, of an earlier version
        if other not in mine and other.may_live(held["seen"]):
            why = f"process {other.pid} on {other.host} is running it"
            raise StudyInUse(self._message(why))

    def _check(self) -> None:
        if not self._is_mine():
            raise StudyInUse(self._message("another took it meanwhile"))

    def _is_mine(self) -> bool:
        held = self._study.user_attrs.get(LEASE) or {}
        return bool(held.get("nonce") == self._nonce)

    def _write(self) -> None:
        self._renewed = time.time()
        lease = {**asdict(self._me), "seen": self._renewed, "nonce": self._nonce}
        self._study.set_user_attr(LEASE, lease)

    def _message(self, why: str) -> str:
        return (
            f"Study {self._study.study_name!r} must be run by one process at a time, but {why}; "
            "wait for it, or give another --study."
        )


def _start_of(pid: int) -> str:
    """When a process of this machine started, in the kernel's words; "" where none lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *words = text.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else words[18]


def _this_world() -> str:
    """The boot of the machine, and the namespace in which processes are numbered."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
