"""What it costs an undisturbed sweep that nothing is lost: checksums, claims, locks, the disk.

    python benchmarks/safety.py --runs 5

Each run is a sweep in a process of its own, in which everything that only serves a bad day is timed
where it is called: waiting for the disk, checksums of states, results and the journal, claims on
epochs, the lists of states that are still needed, renewals of the lease. The share of the sweep's
wall time is an upper bound: of what writes a record or a result, all of it is counted.
Data, database and code are loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweeps import SweepConfig, TrainConfig, sweep
from sweeps.settings.execution import Places
from sweeps.study import journal
from sweeps.study.lease import Lease
from trainer.data import load, prepare
from trainer.stages import sealed, store
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect


class Clock(threading.local):
    """Seconds by what they went to; of calls in calls, the outer one counts."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds  # shared by the threads
        self._is_inside = False

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Count the block."""
        if self._is_inside:
            yield
            return
        self._is_inside, began = True, time.perf_counter()
        try:
            yield
        finally:
            self._is_inside = False
            self._seconds[name] += time.perf_counter() - began

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted."""

        def call(*args: Any, **values: Any) -> Any:
            with self.running(name):
                return function(*args, **values)

        return call

    def timed_ends(self, name: str, manager: Callable[..., Any]) -> Callable[..., Any]:
        """A context manager of which entering and leaving are counted, and not the block."""

        @contextmanager
        def managed(*args: Any) -> Iterator[Any]:
            inner = manager(*args)
            with self.running(name):
                value = inner.__enter__()
            yield value
            with self.running(name):
                inner.__exit__(None, None, None)

        return managed


def watched() -> dict[str, float]:
    """The seconds that will be counted, from now on in this process."""
    seconds: dict[str, float] = defaultdict(float)
    clock = Clock(seconds)
    hashes = SimpleNamespace(sha256=hashlib.sha256)  # of that module alone
    sealed.__dict__["hashlib"] = hashes
    calls: list[tuple[str, Any, str]] = [
        ("disk", os, "fsync"),
        ("states", hashes, "sha256"),
        ("needed states", StageStore, "keep"),
        ("needed states", StageStore, "evict"),
        ("lease", Lease, "renew"),
        ("claims", StageStore, "claimed"),
        ("results", store, "sealed"),
        ("results", store, "unsealed"),
        ("journal", journal, "_sealed"),
        ("journal", journal, "_unsealed"),
    ]
    for name, owner, attribute in calls:
        wrap = clock.timed_ends if name == "claims" else clock.timed
        setattr(owner, attribute, wrap(name, getattr(owner, attribute)))
    return seconds


def run(folder: Path, data: Path, given: argparse.Namespace, result: Any) -> None:
    """Time one sweep in a folder that has an empty database."""
    os.chdir(folder)
    load("digits", "test", None, data)
    connect(f"sqlite:///{folder}/mlflow.db")
    config = SweepConfig(
        train=TrainConfig(dataset="digits", epochs=given.epochs, device="cpu"),
        trials=given.trials,
        sampler="RandomSampler",
        pruner="none",
        executor="inline",
    )
    seconds = watched()
    began = time.perf_counter()
    sweep(config, Places(data=data), progress=False)
    result.put((time.perf_counter() - began, dict(seconds)))


def main() -> None:
    """Print the seconds of each run, and the median share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    shares = []
    with tempfile.TemporaryDirectory() as root:
        data, empty = Path(root, "data"), Path(root, "empty.db")
        prepare("digits", data)
        connect(f"sqlite:///{empty}")
        for _ in range(given.runs):
            with tempfile.TemporaryDirectory(dir=root) as folder:
                shutil.copy(empty, Path(folder, "mlflow.db"))
                result = context.Queue()
                process = context.Process(target=run, args=(Path(folder), data, given, result))
                process.start()
                wall, seconds = result.get()
                process.join()
            shares.append(sum(seconds.values()) / wall)
            parts = ", ".join(f"{name} {1e3 * it:.0f}" for name, it in sorted(seconds.items()))
            print(f"{wall:.2f} s, of which ms: {parts}: {shares[-1]:.2%}", flush=True)
    print(
        f"share: median {statistics.median(shares):.2%}, {min(shares):.2%} to {max(shares):.2%}, "
        f"n = {len(shares)}"
    )


if __name__ == "__main__":
    main()
