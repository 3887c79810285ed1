"""Executors: their interface, and those of this machine, in this process or in worker processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pebble
from pebble.pool.process import WORKERS_NAME

from sweeps.engine import interrupts
from sweeps.errors import SweepError
from trainer.errors import StoreError, TrainerError
from trainer.files import last_lines, print_to, remove_empty_logs, trim_printed

T = TypeVar("T")

_LOOK_SECONDS = 1.0
_STOPPED_LOOKS = 60  # looks in a row that find a worker stopped, before it is killed


class WorkerLost(SweepError):
    """A worker died during a task; the task can be submitted again.

    Args:
        message: for people.
        is_own: whether it was the task's own worker, so that the task may be the cause.
        printed: the last lines of its output, for people.
    """

    def __init__(self, message: str, *, is_own: bool = True, printed: str = "") -> None:
        super().__init__(message)
        self.is_own = is_own
        self.printed = printed


class TaskFailed(Exception):
    """A task raised or timed out; the text is the worker's traceback, or says so.

    Exceptions of users' code never leave a worker as objects: pickling or unpickling them may fail.
    """


class Executor(Protocol):
    """Runs functions elsewhere, `slots` at once."""

    @property
    def slots(self) -> int:
        """How many functions may be submitted at once; it may change as machines come and go."""

    def submit(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """Run `fn(*args)`; the future raises `WorkerLost` if the worker died during it."""

    def stop(self) -> None:
        """End at once, whatever still runs."""


class InlineExecutor:
    """Runs each function in this process, before `submit` returns; a debugger works."""

    slots = 1

    def submit(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """Run `fn(*args)` now."""
        future: Future[T] = Future()
        try:
            with interrupts.allowed():
                result = fn(*args)
            future.set_result(result)
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        """Nothing runs."""


class LocalExecutor:
    """Runs functions in spawned processes of this machine, which die with this one.

    The processes are started at once, so that they have imported torch when the first task comes.
    One that is stopped, as by SIGSTOP, is killed after a minute.

    Args:
        slots: number of processes.
        gpus: the GPUs they see, in turn, one each, as CUDA_VISIBLE_DEVICES names them.
        seconds: time limit of a task, after which its worker is killed; None: no limit.
        logs: folder of files with the last output of each process; None: it is not redirected.
    """

    def __init__(
        self,
        slots: int,
        gpus: Sequence[str] = (),
        seconds: float | None = None,
        logs: Path | None = None,
    ) -> None:
        self.slots = slots
        self.logs = logs
        self._seconds = seconds
        self._ended = threading.Event()
        self._gpus = [gpus[slot % len(gpus)] for slot in range(slots)] if gpus else []
        _forget_missing_script()
        with _interrupts_held():
            self._pool = self._new_pool()
        threading.Thread(target=_kill_stopped, args=(self._ended,), daemon=True).start()

    def submit(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """Run `fn(*args)` in the next free worker; a broken pool is rebuilt."""
        outer: Future[T] = Future()
        task = (contained, self._seconds, self.logs, fn, *args)
        with _interrupts_held():  # workers inherit it: Ctrl-C goes to the parent alone
            try:
                inner = self._pool.submit(*task)
            except (RuntimeError, BrokenProcessPool):
                self._end_pool()
                self._pool = self._new_pool()
                inner = self._pool.submit(*task)
        inner.add_done_callback(lambda done: _settle(outer, done, self.logs))
        return outer

    def stop(self) -> None:
        """Kill the workers; of their logs those that are not empty stay."""
        self._ended.set()
        self._end_pool()
        if self.logs:
            remove_empty_logs(self.logs)

    def _end_pool(self) -> None:
        self._pool.stop()
        self._pool.join()

    def _new_pool(self) -> pebble.ProcessPool:
        pool = pebble.ProcessPool(
            max_workers=self.slots,
            initializer=_begin_worker,
            initargs=(self._gpus, f"sweeps-{os.getpid()}-{id(self)}", self.logs),
            context=multiprocessing.get_context("spawn"),
        )
        assert pool.active  # reading it starts the pool
        return pool


def _forget_missing_script() -> None:
    """A program from standard input has no file, which each worker would try to import."""
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script and not Path(script).exists():
        del main.__file__


def _kill_stopped(ended: threading.Event) -> None:
    """Until `ended`: kill workers that are stopped each time one looks, for a minute."""
    looks: dict[int, int] = {}
    while not ended.wait(_LOOK_SECONDS):
        pids = [it.pid for it in multiprocessing.active_children() if it.name == WORKERS_NAME]
        looks = {pid: looks.get(pid, 0) + 1 for pid in pids if pid and _is_stopped(pid)}
        for pid, count in looks.items():
            if count >= _STOPPED_LOOKS:
                os.kill(pid, signal.SIGKILL)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def contained(
    logs: Path | None, fn: Callable[..., Any], *args: Any
) -> bytes | TrainerError | TaskFailed:
    """In a worker: what `fn(*args)` returns, pickled, or how it failed."""
    worker = os.getpid()
    try:
        return pickle.dumps(fn(*args))
    except TrainerError as error:
        return error
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return StoreError(f"The disk must have room, but is full: {error}.")
        return TaskFailed(_printed(logs, os.getpid()) + traceback.format_exc())
    finally:
        if os.getpid() != worker:  # a fork, which must not answer in the worker's place
            os._exit(1)
        if logs:
            trim_printed()


def _printed(logs: Path | None, pid: int) -> str:
    """The last lines of a worker's log, for people; "" where there are none."""
    lines = last_lines(logs / f"{pid}.log") if logs else []
    return "\n".join([f"The last output in {logs}/{pid}.log:", *lines, "", ""]) if lines else ""


def _settle(outer: Future[Any], inner: Future[Any], logs: Path | None) -> None:
    if inner.cancelled():
        outer.cancel()
        return
    error = inner.exception()
    if isinstance(error, (pebble.ProcessExpired, BrokenProcessPool)):
        own = isinstance(error, pebble.ProcessExpired)
        printed = _printed(logs, error.pid) if isinstance(error, pebble.ProcessExpired) else ""
        lost = WorkerLost(f"A worker died with its task: {error}.", is_own=own, printed=printed)
        lost.__cause__ = error
        outer.set_exception(lost)
    elif isinstance(error, TimeoutError):
        outer.set_exception(TaskFailed("It took longer than the time limit, and was ended."))
    elif error is not None:
        outer.set_exception(error)
    else:
        settle(outer, inner.result())


def settle(future: Future[Any], outcome: bytes | Exception) -> None:
    """Set a future's result or exception to what `contained` returned."""
    if isinstance(outcome, bytes):
        future.set_result(pickle.loads(outcome))
    else:
        future.set_exception(outcome)


def reason_of(error: BaseException) -> str:
    """Why a task failed, for people: a traceback."""
    if isinstance(error, TaskFailed):
        return str(error)
    return "".join(traceback.format_exception(error))


def _begin_worker(gpus: Sequence[str], seats: str, logs: Path | None) -> None:
    """Leave Ctrl-C to the parent, take a GPU, and exit when the parent exits."""
    with suppress(OSError):  # then the output stays on the screen
        if logs:
            print_to(logs / f"{os.getpid()}.log")
    with suppress(OSError):  # where memory runs out, the kernel kills this process, not the parent
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def follow() -> None:
        while not wait([parent.sentinel], _LOOK_SECONDS):
            if logs:
                trim_printed()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=follow, daemon=True).start())
    end = os._exit  # the pool would not notice a worker that exits without an error
    os._exit = lambda status: end(status or 1)
    _take_gpu(gpus, seats)
    import trainer.stages.stage  # noqa: F401 - slow, and what every task needs


def _take_gpu(gpus: Sequence[str], seats: str) -> None:
    """See only the first GPU whose seat is free.

    A seat is a name that the kernel gives to one socket at a time, and frees with its process.
    """
    for seat, gpu in enumerate(gpus):
        taken = socket.socket(socket.AF_UNIX)
        try:
            taken.bind(f"\0{seats}-{seat}")
        except OSError:
            taken.close()
            continue
        taken.detach()  # held until the process ends
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        return


@contextmanager
def _interrupts_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
