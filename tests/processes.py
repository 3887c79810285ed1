"""Runs `python -m sweeps.run` in processes of their own that need not import everything again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 180.0

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mlflow.data.meta_dataset",
        "mlflow.store.tracking.sqlalchemy_store",
        "optuna",
        "pebble",
        "rich.live",
        "scipy.stats",
        "sweeps.report.render",
        "torch._dynamo",
    ]
)


@dataclass(frozen=True)
class Ended:
    """How a process ended (status -9: killed) and what it printed."""

    status: int
    output: str


def start(folder: Path, argv: Sequence[str], **environment: str) -> multiprocessing.Process:
    """Begin `python -m sweeps.run ARGV` in `folder`, as the leader of its own process group."""
    process = _CONTEXT.Process(target=_run, args=(folder, list(argv), environment))
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


def _run(folder: Path, argv: list[str], environment: dict[str, str]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # as `python -m` does
    os.environ.update(environment)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)

    from sweeps.run import main

    sys.exit(main(argv))
