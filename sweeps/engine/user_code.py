"""`UserCode`: the process that runs user code for a sweep, which itself runs none."""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from sweeps.engine import interrupts
from sweeps.engine.executors import Executor, LocalExecutor, TaskFailed, WorkerLost, reason_of
from sweeps.settings.execution import Execution
from trainer.errors import CodeFailed, TrainerError
from trainer.settings.apart import users_apart
from trainer.settings.paths import Paths

T = TypeVar("T")

TRIES = 2
"""Number of processes that may die in a call: one may also be killed by somebody else."""

_LOOK_SECONDS = 0.5
_LIMIT_SECONDS = 120.0  # within which a study's lease stays valid, as it is not renewed meanwhile


class UserCode:
    """Calls functions in a process that is started for the first call, and anew when it died.

    A call that failed is not repeated: the same call fails with the same reason.

    Args:
        make: makes the executor that calls them.
        seconds: time limit of a call; None: that of a sweep without `epoch_timeout`.
    """

    def __init__(self, make: Callable[[], Executor], seconds: float | None = None) -> None:
        self._make = make
        self._seconds = seconds or _LIMIT_SECONDS
        self._executor: Executor | None = None
        self._ready: Future[int] = Future()
        self._failed: dict[bytes, str] = {}

    def __call__(
        self, code: tuple[str, ...], fn: Callable[..., T], *args: Any, limited: bool = True
    ) -> T:
        """The result of `fn(*args)`; see `trainer.settings.apart.Caller`."""
        call = pickle.dumps((fn, args))
        if call not in self._failed:
            lost = WorkerLost("")
            for _ in range(TRIES):
                try:
                    return self._call(code, fn, *args, limited=limited)
                except WorkerLost as error:
                    lost = error
                    self.close()  # so that the start of the next one does not count
                except TrainerError:
                    raise
                except Exception as error:  # user code can raise anything
                    reason = reason_of(error)
                    break
            else:
                reason = (
                    f"{lost.printed}{_shown(code)} must leave its process running, but {TRIES} "
                    f"processes died with it: {str(lost).rpartition(': ')[2]}"
                )
            self._failed[call] = reason
        raise CodeFailed(self._failed[call])

    def start(self) -> None:
        """Start the process, so that it is ready when the first call comes."""
        if self._executor is None:
            self._executor = self._make()
            self._ready = self._executor.submit(os.getpid)

    def close(self) -> None:
        """End the process; a later call starts another."""
        if self._executor is not None:
            self._executor.stop()
        self._executor = None

    def _call(self, code: tuple[str, ...], fn: Callable[..., T], *args: Any, limited: bool) -> T:
        self.start()
        assert self._executor is not None, "it was started"
        if not self._ready.done():
            _wait(self._ready, math.inf)  # importing torch takes seconds
        future: Future[T] = self._executor.submit(fn, *args)
        if not _wait(future, self._seconds if limited else math.inf):
            self.close()
            raise TaskFailed(
                f"{_shown(code)} must return within {self._seconds:g} s (--epoch-timeout), but "
                "did not."
            )
        return future.result()


@contextmanager
def user_code_apart(config: Execution, study: str) -> Iterator[None]:
    """In the block another process calls user code, unless this one trains (executor "inline").

    Args:
        config: which executor, and the time limit of an epoch.
        study: beside whose journal the output of the process is kept.
    """
    if config.executor == "inline":
        yield
        return
    logs = Paths.here().logs(study)
    caller = UserCode(lambda: LocalExecutor(1, logs=logs), config.epoch_timeout)
    try:
        with users_apart(caller):
            yield
    finally:
        caller.close()


def _wait(future: Future[Any], seconds: float) -> bool:
    """Wait for a future so long, until Ctrl-C; whether it is done."""
    began = time.monotonic()
    while not wait([future], _LOOK_SECONDS).done:
        interrupts.check()
        if time.monotonic() - began > seconds:
            return False
    return True


def _shown(code: tuple[str, ...]) -> str:
    return " and ".join(code)
