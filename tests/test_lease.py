"""One process at a time has a study."""

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest

from sweeps.errors import StudyInUse
from sweeps.settings.config import SweepConfig
from sweeps.study.lease import LEASE, Holder, Lease
from sweeps.study.opening import open_study
from trainer.settings.paths import Paths


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes to these studies."""
    monkeypatch.setattr("sweeps.study.lease._SETTLE_SECONDS", 0.0)


def held_by(holder: Holder, seen: float) -> optuna.Study:
    """A study that says `holder` has it, and said so last at `seen`."""
    study = optuna.create_study()
    lease = {"host": holder.host, "pid": holder.pid, "started": holder.started, "seen": seen}
    study.set_user_attr(LEASE, lease)
    if holder.world:
        study.set_user_attr(LEASE, lease | {"world": holder.world})
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


def test_what_another_took_is_neither_renewed_nor_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that was suspended for long ends when it finds out; the other one keeps the study.

    A clock that jumps in either direction makes it look.
    """
    study = optuna.create_study()
    first = Lease(study)
    first.renew()
    second = Lease(study)
    held = study.user_attrs[LEASE]
    now = time.time()
    for jump in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        with pytest.raises(StudyInUse, match="another took it meanwhile"):
            first.renew()
    first.release()
    assert study.user_attrs[LEASE] == held
    monkeypatch.undo()
    second.release()
    assert study.user_attrs[LEASE] is None


def test_a_container_with_the_same_name_of_host_is_another_machine() -> None:
    """Its numbers of processes mean nothing here: it is believed by what it says."""
    me = Holder.this_process()
    there = Holder(me.host, me.pid, "1", "another boot or namespace")
    with pytest.raises(StudyInUse, match=f"process {me.pid} on {me.host}"):
        Lease(held_by(there, time.time() - 60))
    Lease(held_by(there, time.time() - 600))


def test_a_process_that_is_dead_and_not_yet_reaped_holds_nothing() -> None:
    """Its parent may never look, as of a container without an init."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        holder = Holder(Holder.this_process().host, other.pid, _start(other.pid))
        assert holder.may_live(0.0)
        other.kill()
        while _state(other.pid) != "Z":
            pass
        assert not holder.may_live(time.time())


def try_to_take(path: Path, barrier: Barrier, results: Queue) -> None:
    """Take the lease of the study in this journal as the others do."""
    paths = Paths(path)
    barrier.wait()
    try:
        open_study(SweepConfig(study="s"), paths)
    except StudyInUse:
        results.put(False)
    else:
        results.put(True)
    barrier.wait()  # alive until all have tried


def test_of_processes_that_start_at_once_one_has_the_study(tmp_path: Path) -> None:
    """However close they come."""
    open_study(SweepConfig(study="s"), Paths(tmp_path)).lease.release()
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        barrier, results = context.Barrier(3), context.Queue()
        processes = [
            context.Process(target=try_to_take, args=(tmp_path, barrier, results)) for _ in range(3)
        ]
        for process in processes:
            process.start()
        assert sorted(results.get() for _ in processes) == [False, False, True]
        for process in processes:
            process.join()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _start(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
