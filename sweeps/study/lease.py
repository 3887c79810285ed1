"""A lease in the study: one coordinator at a time, wherever the study is kept."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from sweeps.errors import StudyInUse

LEASE = "lease"
"""User attribute of the study that holds the lease."""

_RENEW_SECONDS = 30.0
_GONE_SECONDS = 150.0  # a holder on another machine that said nothing for so long is gone


@dataclass(frozen=True)
class Holder:
    """Who holds a study: a process, told from a later one with its number by its start time."""

    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Holder:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), _start_of(os.getpid()))

    def may_live(self, seen: float) -> bool:
        """Whether it may still run; `seen`, when it last said so, decides for another machine."""
        if self.host == socket.gethostname():
            return _start_of(self.pid) == self.started != ""
        return time.time() - seen < _GONE_SECONDS


class Lease:
    """Holds a study for this process.

    Args:
        study: the study to hold.

    Raises:
        StudyInUse: another process that still lives holds it.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._me = Holder.this_process()
        held: dict[str, Any] | None = study.user_attrs.get(LEASE)
        if held:
            other = Holder(held["host"], held["pid"], held["started"])
            if other != self._me and other.may_live(held["seen"]):
                raise StudyInUse(
                    f"Study {study.study_name!r} must be run by one process at a time, but "
                    f"process {other.pid} on {other.host} is running it; wait for it, or give "
                    "another --study."
                )
        self._renewed = 0.0
        self.renew()
        if study.user_attrs[LEASE]["pid"] != self._me.pid:
            raise StudyInUse(
                f"Study {study.study_name!r} must be run by one process at a time, but another "
                "took it at the same moment; wait for it, or give another --study."
            )

    def renew(self) -> None:
        """Say that this process still lives; does nothing where it just did."""
        if time.time() - self._renewed > _RENEW_SECONDS:
            self._renewed = time.time()
            self._study.set_user_attr(LEASE, {**asdict(self._me), "seen": self._renewed})

    def release(self) -> None:
        """Let the next one have the study."""
        self._study.set_user_attr(LEASE, None)


def _start_of(pid: int) -> str:
    """When a process of this machine started, in the kernel's words; "" where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
