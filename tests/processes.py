"""Runs commands in processes of their own that need not import everything again."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 180.0
_ROOT = Path(__file__).parent.parent

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mlflow.data.meta_dataset",
        "mlflow.store.tracking.sqlalchemy_store",
        "optuna",
        "pebble",
        "plotly.express",
        "rich.live",
        "scipy.stats",
        "sweeps.engine.session",
        "sweeps.report.page",
        "sweeps.report.render",
        "torch._dynamo",
    ]
)


@dataclass(frozen=True)
class Ended:
    """How a process ended (status -9: killed) and what it printed."""

    status: int
    output: str


def start(
    folder: Path,
    argv: Sequence[str],
    *,
    module: str = "sweeps.run",
    forked: bool = False,
    executed: bool = False,
    **environment: str,
) -> multiprocessing.Process:
    """Begin `python -m MODULE ARGV` in `folder`, as the leader of its own process group.

    With `forked`, its workers are forked where they would be spawned, which takes seconds.
    With `executed`, it is a new interpreter, as a shell starts one.
    """
    words = (folder, module, [*argv], {**os.environ, **environment})
    process = _CONTEXT.Process(
        target=_run, args=words, kwargs={"forked": forked, "executed": executed}
    )
    process.start()
    return process  # type: ignore[return-value]


def finish(folder: Path, process: multiprocessing.Process) -> Ended:
    """Wait for a process that was started there; what does not end is killed, with its output."""
    assert process.pid is not None
    try:
        process.join(_PATIENCE_SECONDS)
        assert process.exitcode is not None, (folder / "output.txt").read_text()
    finally:
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
    return Ended(process.exitcode, (folder / "output.txt").read_text())


def sweep(folder: Path, argv: Sequence[str], **environment: str) -> Ended:
    """Run `python -m sweeps.run ARGV` in `folder` to its end."""
    return finish(folder, start(folder, argv, **environment))


def call(function: Callable[..., T], *args: Any) -> T:
    """What the function returns in a process of its own, which has read nothing before."""
    with ProcessPoolExecutor(1, mp_context=_CONTEXT) as pool:
        return pool.submit(function, *args).result()


def _run(
    folder: Path,
    module: str,
    argv: list[str],
    environment: dict[str, str],
    *,
    forked: bool,
    executed: bool,
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # as `python -m` does
    os.environ.clear()  # the fork server has those of the test that started it
    os.environ.update(environment)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if executed:
        os.environ["PYTHONPATH"] = str(_ROOT)
        os.execv(sys.executable, [sys.executable, "-m", module, *argv])
    if forked:
        _fork_workers()
    sys.exit(importlib.import_module(module).main(argv))


def _fork_workers() -> None:
    """Fork the workers of this process from a fork server that is a copy of it as it is now."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    with socket.socket(socket.AF_UNIX) as listener:
        address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
        listener.bind(address)
        listener.listen()
        alive, held = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(held)
            forkserver.main(listener.detach(), alive, [])
            os._exit(0)
    os.close(alive)
    server._forkserver_address, server._forkserver_alive_fd = address, held
    server._forkserver_pid = pid
    context, get = multiprocessing.get_context("forkserver"), multiprocessing.get_context
    multiprocessing.get_context = (  # type: ignore[method-assign]
        lambda method=None: context if method == "spawn" else get(method)
    )
