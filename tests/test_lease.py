"""One process at a time has a study."""

import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from sweeps.errors import StudyInUse
from sweeps.study.lease import LEASE, Holder, Lease


def held_by(holder: Holder, seen: float) -> optuna.Study:
    """A study that says `holder` has it, and said so last at `seen`."""
    study = optuna.create_study()
    lease = {"host": holder.host, "pid": holder.pid, "started": holder.started, "seen": seen}
    study.set_user_attr(LEASE, lease)
    return study


def test_a_study_nobody_has_is_taken_and_released() -> None:
    """The lease says who has it, and nobody once it is released."""
    study = optuna.create_study()
    lease = Lease(study)
    assert study.user_attrs[LEASE]["pid"] == os.getpid()
    lease.release()
    assert study.user_attrs[LEASE] is None


def test_a_study_that_a_living_process_has_is_refused() -> None:
    """The error names the process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        me = Holder.this_process()
        started = _start(other.pid)
        study = held_by(Holder(me.host, other.pid, started), time.time())
        with pytest.raises(StudyInUse, match=str(other.pid)):
            Lease(study)
        other.kill()
    Lease(study)  # it is dead now
    assert study.user_attrs[LEASE]["pid"] == os.getpid()


def test_a_later_process_with_the_number_of_the_holder_is_not_the_holder() -> None:
    """Numbers of processes come again; their start times do not."""
    me = Holder.this_process()
    study = held_by(Holder(me.host, os.getppid(), "1"), time.time())
    Lease(study)
    assert study.user_attrs[LEASE]["pid"] == os.getpid()


def test_a_holder_on_another_machine_lives_as_long_as_it_says_so() -> None:
    """It is believed for some minutes, then taken for dead."""
    there = Holder("elsewhere", 1, "1")
    with pytest.raises(StudyInUse, match="elsewhere"):
        Lease(held_by(there, time.time() - 60))
    Lease(held_by(there, time.time() - 600))


def _start(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
