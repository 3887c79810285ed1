"""One process at a time has a study."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import filelock
import optuna
import pytest
from samples import disk_that_is_full_after

from sweeps.errors import StudyInUse, SweepError
from sweeps.settings.config import SweepConfig
from sweeps.study import opening
from sweeps.study.journal import journal_storage
from sweeps.study.lease import LEASE, Holder, Lease
from sweeps.study.opening import find_study, open_study
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


def test_a_holder_elsewhere_that_is_gone_for_good_can_be_taken_over() -> None:
    """At once; one that provably lives here cannot."""
    there = held_by(Holder("elsewhere", 1, "1"), time.time())
    with pytest.raises(StudyInUse, match=r"process 1 on elsewhere .*--takeover if that machine"):
        Lease(there)
    Lease(there, takeover=True).renew()
    assert there.user_attrs[LEASE]["pid"] == os.getpid()
    me = Holder.this_process()
    here = held_by(Holder(me.host, os.getppid(), _start(os.getppid()), me.world), time.time())
    with pytest.raises(StudyInUse, match=f"process {os.getppid()} on {me.host} has been") as caught:
        Lease(here, takeover=True)
    assert "--takeover" not in str(caught.value)


def test_a_killed_container_holds_nothing_while_one_of_another_machine_may(tmp_path: Path) -> None:
    """The kernel that both containers share has freed its lock."""
    me = Holder.this_process()
    sibling = Holder("0123456789ab", 1, "1", f"{me.boot} pid:[1]")
    lock = filelock.FileLock(tmp_path / "s.lease")
    Lease(held_by(sibling, time.time()), lock).release()
    with pytest.raises(StudyInUse, match="process 1 on 0123456789ab"):
        Lease(held_by(replace(sibling, world="another-boot pid:[1]"), time.time()), lock)
    assert not lock.is_locked


def hold(path: Path, taken: Event) -> None:
    """Take the study, and hold it until the process is killed."""
    with open_study(SweepConfig(study="s"), Paths(path)):
        taken.set()
        signal.pause()


def test_a_study_is_locked_as_long_as_its_process_lives_and_no_longer(tmp_path: Path) -> None:
    """Whatever became of the record of who has it, which an editor or a bug may have removed."""
    context = multiprocessing.get_context("fork")
    taken = context.Event()
    process = context.Process(target=hold, args=(tmp_path, taken), daemon=True)
    process.start()
    assert taken.wait(60)
    paths = Paths(tmp_path)
    words = rf"process {process.pid} on .* has been running it since 20\d\d-.*; wait for it"
    for config in (SweepConfig(study="s"), SweepConfig(study="s", fresh=True, takeover=True)):
        with pytest.raises(StudyInUse, match=words):
            open_study(config, paths)
    study = optuna.load_study(study_name="s", storage=journal_storage(paths.journal("s")))
    study.set_user_attr(LEASE, None)
    with pytest.raises(StudyInUse, match="or another has just begun"):
        open_study(SweepConfig(study="s"), paths)
    process.kill()
    process.join()
    open_study(SweepConfig(study="s"), paths).lease.release()


def test_one_process_has_a_study_once(tmp_path: Path) -> None:
    """As two threads of a notebook would."""
    with open_study(SweepConfig(study="s"), Paths(tmp_path)):
        with pytest.raises(StudyInUse, match="this one runs it already"):
            open_study(SweepConfig(study="s"), Paths(tmp_path))
        with pytest.raises(StudyInUse, match="this one runs it already"):
            find_study("s", Paths(tmp_path), None)
    find_study("s", Paths(tmp_path), None).lease.release()


def try_to_take(path: Path, fresh: bool, barrier: Barrier, results: Queue) -> None:
    """Take the lease of the study in this journal as the others do."""
    paths = Paths(path)
    barrier.wait()
    with ExitStack() as held:
        try:
            held.enter_context(open_study(SweepConfig(study="s", fresh=fresh), paths))
        except StudyInUse:
            results.put(False)
        except BaseException as error:
            results.put(repr(error))
        else:
            results.put(True)
        barrier.wait()  # alive until all have tried


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_has_the_study(tmp_path: Path) -> None:
    """However close they come, and though they all set the last one's study aside."""
    context = multiprocessing.get_context("fork")
    for round in range(6):
        barrier, results = context.Barrier(6), context.Queue()
        processes = [
            context.Process(target=try_to_take, args=(tmp_path, round % 2 == 1, barrier, results))
            for _ in range(6)
        ]
        for process in processes:
            process.start()
        got = [results.get() for _ in processes]
        assert sorted(got, key=str) == [False] * 5 + [True]
        for process in processes:
            process.join()


def held(paths: Paths) -> object:
    """Who has the study of these tests, as another process finds it."""
    storage = journal_storage(paths.journal("s"))
    return optuna.load_study(study_name="s", storage=storage).user_attrs[LEASE]


def test_a_start_that_fails_after_it_took_the_study_lets_it_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its process lives on, as a notebook's does."""

    def interrupted(study: optuna.Study, names: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(opening, "_name_objectives", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_study(SweepConfig(study="s"), Paths(tmp_path))
    assert held(Paths(tmp_path)) is None
    with open_study(SweepConfig(study="s"), Paths(tmp_path)):
        assert held(Paths(tmp_path)) is not None
    assert held(Paths(tmp_path)) is None


def test_an_interrupt_while_the_lease_settles_lets_the_study_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A study in a database is only held once nobody else took it at the same time."""

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    study = optuna.create_study()
    with pytest.raises(KeyboardInterrupt):
        Lease(study)
    assert study.user_attrs[LEASE] is None


def test_a_full_disk_at_the_release_does_not_replace_the_error_before_it(tmp_path: Path) -> None:
    """It is the error that people have to know; without one they are told of the disk."""
    study = open_study(SweepConfig(study="s"), Paths(tmp_path))
    size = Paths(tmp_path).journal("s").stat().st_size
    with pytest.raises(ZeroDivisionError), disk_that_is_full_after(size), study:
        raise ZeroDivisionError
    with pytest.raises(SweepError, match="must be writable"), disk_that_is_full_after(size), study:
        pass


def test_a_database_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """As Optuna's own journal is, the same command resumes."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = open_study(SweepConfig(study="s"), Paths(tmp_path), url)
    size = (tmp_path / "optuna.db").stat().st_size
    with (
        pytest.raises(SweepError, match=r"Optuna's storage must be writable, but: .+"),
        disk_that_is_full_after(size // 2),
        study,
    ):
        study.optuna.set_user_attr("name", "x" * 1_000_000)
    with open_study(SweepConfig(study="s"), Paths(tmp_path), url) as again:
        again.optuna.ask()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _start(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
