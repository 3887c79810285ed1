"""One contract for every executor, and what only worker processes can suffer."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from sweeps.engine.executors import Executor, InlineExecutor, LocalExecutor, WorkerLost

WAIT = 60


@pytest.fixture(params=["inline", "local"], scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Each executor in turn."""
    made: Executor = InlineExecutor() if request.param == "inline" else LocalExecutor(2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalExecutor]:
    """Two worker processes."""
    made = LocalExecutor(2)
    yield made
    made.stop()


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


def test_a_future_raises_what_the_function_raised(executor: Executor) -> None:
    """What the function raised comes out of the future, with its text."""
    with pytest.raises(ValueError, match="of all things"):
        executor.submit(refuse, "of all things").result(WAIT)


def test_as_many_run_at_once_as_there_are_slots(executor: Executor) -> None:
    """Every slot gives a result, from as many processes as there are slots at most."""
    futures = [executor.submit(rest, 0.3) for _ in range(2 * executor.slots)]
    assert len({future.result(WAIT) for future in futures}) <= executor.slots


def test_a_worker_that_dies_loses_its_task_and_no_other(local: LocalExecutor) -> None:
    """The future of the task says that its worker was lost; the other task goes on."""
    other = local.submit(rest, 1.0)
    with pytest.raises(WorkerLost):
        local.submit(die).result(WAIT)
    assert other.result(WAIT) > 0
    assert local.submit(divmod, 7, 3).result(WAIT) == (2, 1)


def test_a_worker_that_dies_idle_costs_nothing(local: LocalExecutor) -> None:
    """Whatever dies between tasks, later tasks are done or said to be lost, and then done."""
    pids = {local.submit(rest, 0.3).result(WAIT) for _ in range(2)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        future: Future[tuple[int, int]] = local.submit(divmod, 7, 3)
        try:
            assert future.result(WAIT) == (2, 1)
            return
        except WorkerLost:
            continue
    pytest.fail("three tasks in a row were lost")


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
