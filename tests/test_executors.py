"""One contract for every executor, and what only worker processes can suffer."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeps.engine.executors import (
    Executor,
    InlineExecutor,
    LocalExecutor,
    TaskFailed,
    WorkerLost,
    reason_of,
)
from trainer.errors import ConfigError, StoreError

WAIT = 60


@pytest.fixture(
    params=["inline", "local", pytest.param("ray", marks=pytest.mark.slow)], scope="module"
)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Each executor in turn."""
    with made_executor(request.param) as made:
        yield made


@contextmanager
def made_executor(name: str) -> Iterator[Executor]:
    """An executor by its name, with two workers where it has several."""
    if name == "ray":
        pytest.importorskip("ray")
        from clusters import joined, ray_cluster

        with ray_cluster(2) as cluster:
            made: Executor = joined(cluster.address, "test_executors")
            yield made
            made.stop()
    else:
        made = InlineExecutor() if name == "inline" else LocalExecutor(2)
        yield made
        made.stop()


with_workers = pytest.mark.parametrize("executor", ["local", "ray"], indirect=True)


def refuse(word: str) -> None:
    """Raise as a user's code may."""
    raise ValueError(word)


def die() -> None:
    """Die as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def rest(seconds: float) -> int:
    """Do nothing for a while; the process that did."""
    time.sleep(seconds)
    return os.getpid()


def span(seconds: float) -> tuple[float, float]:
    """Do nothing for a while; from when until when, by a clock that processes share."""
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def alive(pid: int) -> bool:
    """Whether a process still runs (one that nobody has waited for yet does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Whether the process ends in time."""
    deadline = time.monotonic() + WAIT
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not alive(pid)


def test_a_future_gives_what_the_function_returned(executor: Executor) -> None:
    """`submit(fn, *args)` is a future of `fn(*args)`."""
    assert executor.submit(divmod, 7, 3).result(WAIT) == (2, 1)


def test_a_future_tells_why_the_function_failed(executor: Executor) -> None:
    """With the traceback, to the line that raised; our own errors stay what they are."""
    with pytest.raises((ValueError, TaskFailed)) as caught:
        executor.submit(refuse, "of all things").result(WAIT)
    reason = reason_of(caught.value)
    assert reason.strip().endswith("ValueError: of all things")
    assert "raise ValueError(word)" in reason
    with pytest.raises(ConfigError, match=r"^lr must be above 0"):
        executor.submit(misconfigure).result(WAIT)


def misconfigure() -> None:
    """Raise an error of ours."""
    raise ConfigError("lr must be above 0, but got -1.")


class TwoArguments(Exception):
    """An error that cannot be made from its text, as pickle would."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class Trap(Exception):
    """An error that raises where it is read again."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return refuse, ("read again",)


def raise_trap() -> None:
    """Raise it."""
    raise Trap


def raise_two() -> None:
    """Raise an error that pickle cannot make again."""
    raise TwoArguments("one", "two")


def raise_local() -> None:
    """Raise an error of a class that only this function knows."""

    class Local(Exception):
        pass

    raise Local("here")


def give_function() -> Callable[[], None]:
    """Return what cannot be pickled."""
    return lambda: None


@with_workers
@pytest.mark.parametrize(
    ("task", "words"),
    [
        (raise_trap, "Trap"),
        (raise_two, "TwoArguments: onetwo"),
        (raise_local, "Local: here"),
        (give_function, "pickle"),
        (sys.exit, "SystemExit"),
    ],
)
def test_what_cannot_leave_a_worker_fails_its_task_alone(
    task: Callable[[], object], words: str, executor: Executor
) -> None:
    """Whatever users' code raises or returns; the traceback comes out as text."""
    other = executor.submit(rest, 0.1)
    with pytest.raises(TaskFailed, match=words):
        executor.submit(task).result(WAIT)
    assert other.result(WAIT)


def leave() -> None:
    """End the process as if all were well."""
    os._exit(0)


@with_workers
def test_a_worker_that_ends_without_an_error_is_lost_too(executor: Executor) -> None:
    """Nobody waits for it for ever."""
    with pytest.raises(WorkerLost):
        executor.submit(leave).result(WAIT)


@pytest.mark.slow
def test_a_task_that_takes_too_long_is_ended() -> None:
    """And its worker with it; the next task has another."""
    made = LocalExecutor(1, seconds=1)
    try:
        with pytest.raises(TaskFailed, match="took longer than the time limit"):
            made.submit(rest, 600).result(WAIT)
        assert made.submit(abs, -3).result(WAIT) == 3
    finally:
        made.stop()


@pytest.mark.slow
def test_no_more_run_at_once_than_there_are_slots(executor: Executor) -> None:
    """Whatever is submitted; it is done all the same."""
    futures = [executor.submit(span, 0.3) for _ in range(2 * executor.slots)]
    spans = [future.result(WAIT) for future in futures]
    at_once = [sum(begun <= now < ended for begun, ended in spans) for now, _ in spans]
    assert max(at_once) <= executor.slots


@with_workers
def test_a_worker_that_dies_loses_its_task_and_no_other(executor: Executor) -> None:
    """The future of the task says that its worker was lost; the other task continues."""
    other = executor.submit(rest, 1.0)
    with pytest.raises(WorkerLost):
        executor.submit(die).result(WAIT)
    assert other.result(WAIT) > 0
    assert executor.submit(divmod, 7, 3).result(WAIT) == (2, 1)


@pytest.mark.slow
@with_workers
def test_a_worker_that_dies_idle_costs_nothing(executor: Executor) -> None:
    """Whatever dies between tasks, later tasks are done or said to be lost, and then done."""
    pids = {executor.submit(rest, 0.3).result(WAIT) for _ in range(2)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        future: Future[tuple[int, int]] = executor.submit(divmod, 7, 3)
        try:
            assert future.result(WAIT) == (2, 1)
            return
        except WorkerLost:
            continue
    pytest.fail("three tasks in a row were lost")


@pytest.mark.slow
def test_each_worker_sees_a_gpu_of_its_own_and_leaves_it_to_the_next() -> None:
    """Two workers share out two GPUs; the one that takes a dead one's place takes its GPU."""
    executor = LocalExecutor(2, ["5", "7"])
    try:
        before = gpus_of_two(executor)
        assert sorted(before.values()) == ["5", "7"]
        with pytest.raises(WorkerLost):
            executor.submit(die).result(WAIT)
        after = gpus_of_two(executor)
        assert sorted(after.values()) == ["5", "7"]
        assert len(before.keys() & after.keys()) == 1
    finally:
        executor.stop()


def gpus_of_two(executor: LocalExecutor) -> dict[int, str]:
    """The GPU that each of two workers sees, by process id, once both are there."""
    found: dict[int, str] = {}
    deadline = time.monotonic() + WAIT
    while len(found) < 2 and time.monotonic() < deadline:
        futures = [executor.submit(gpu_after, 0.3) for _ in range(2)]
        found.update(future.result(WAIT) for future in futures)
    return found


def gpu_after(seconds: float) -> tuple[int, str]:
    """This process and the GPU it sees, told after a while."""
    return rest(seconds), os.environ["CUDA_VISIBLE_DEVICES"]


def test_stop_ends_what_still_runs() -> None:
    """Workers that are busy for a minute are gone at once."""
    executor = LocalExecutor(1)
    pid = executor.submit(rest, 0).result(WAIT)
    executor.submit(rest, 60.0)
    executor.stop()
    assert gone(pid)


@pytest.mark.slow
def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no worker behind, however busy."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from sweeps.engine.executors import LocalExecutor\n"
        "from test_executors import WAIT, rest\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor(1)\n"
        "    print(executor.submit(rest, 0).result(WAIT), flush=True)\n"
        "    executor.submit(rest, 60.0)\n"
        "    executor.submit(rest, 60.0).result()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    assert gone(worker)


def stop_here(once: Path) -> int:
    """Stop this process as by kill -STOP, the first time; this process."""
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return os.getpid()


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by SIGSTOP; nobody waits for it until somebody continues it."""
    monkeypatch.setattr("sweeps.engine.executors.local._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("sweeps.engine.executors.local._STOPPED_LOOKS", 3)
    made = LocalExecutor(1)
    try:
        with pytest.raises(WorkerLost):
            made.submit(stop_here, tmp_path / "stopped").result(WAIT)
        assert made.submit(stop_here, tmp_path / "stopped").result(WAIT)
    finally:
        made.stop()


def test_a_stopped_worker_does_not_hold_up_the_end() -> None:
    """It is killed, as those that run are."""
    made = LocalExecutor(1)
    pid = made.submit(rest, 0).result(WAIT)
    made.submit(rest, 600)
    os.kill(pid, signal.SIGSTOP)
    made.stop()
    assert gone(pid)


def chatter(lines: int) -> int:
    """Print long lines as Python, a library and a child process do; this process."""
    for _ in range(lines):
        print("x" * 9999)
    os.write(2, b"from a library\n")
    subprocess.run(["/bin/echo", "from a child"], check=True)
    return os.getpid()


def complain() -> None:
    """Print something, and fail."""
    print("about to fail")
    raise ValueError("no")


def complain_and_die() -> None:
    """Print something, and die."""
    print("about to die")
    die()


def test_what_a_worker_prints_is_in_its_log_and_not_on_the_screen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever prints it; of much only the end is kept."""
    made = LocalExecutor(1, logs=tmp_path / "logs")
    try:
        pid = made.submit(chatter, 1000).result(WAIT)
        log = tmp_path / "logs" / f"{pid}.log"
        assert log.stat().st_size < 2_000_000
        assert log.read_text().endswith("x\nfrom a library\nfrom a child\n")
    finally:
        made.stop()
    assert capfd.readouterr() == ("", "")
    assert log.exists()


@pytest.mark.slow
def test_a_failed_task_tells_what_its_worker_printed_and_where(tmp_path: Path) -> None:
    """Its last lines stand before the traceback, or the news that the worker died."""
    made = LocalExecutor(1, logs=tmp_path)
    try:
        with pytest.raises(TaskFailed, match=r"last output in .*\.log:\nabout to fail\n") as failed:
            made.submit(complain).result(WAIT)
        assert str(failed.value).endswith("ValueError: no\n")
        with pytest.raises(WorkerLost) as lost:
            made.submit(complain_and_die).result(WAIT)
        assert "about to die\n" in lost.value.printed
    finally:
        made.stop()


@pytest.mark.slow
def test_workers_that_print_nothing_leave_no_logs(tmp_path: Path) -> None:
    """Each start would leave some."""
    made = LocalExecutor(2, logs=tmp_path / "logs")
    made.submit(rest, 0).result(WAIT)
    made.stop()
    assert list(tmp_path.iterdir()) == []


def fill_disk() -> None:
    """Write to a device that is always full."""
    Path("/dev/full").write_text("x")


@with_workers
def test_a_full_disk_is_no_fault_of_the_task(executor: Executor) -> None:
    """All would fail; the error is one that ends the sweep."""
    with pytest.raises(StoreError, match="disk must have room"):
        executor.submit(fill_disk).result(WAIT)
