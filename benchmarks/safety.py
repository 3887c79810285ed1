"""What it costs an undisturbed sweep that nothing is lost: checksums, claims, locks, the disk.

    python benchmarks/safety.py --pairs 8

Each pair runs the same sweep twice in processes of their own, in turns: as it is, and with all that
only serves a bad day replaced by nothing: waiting for the disk, checksums of states, results and
the journal, claims on epochs, the lists of states that are still needed, renewals of the lease.
Data, database and code are loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sweeps import SweepConfig, TrainConfig, sweep
from sweeps.settings.execution import Places
from sweeps.study import journal
from sweeps.study.lease import Lease
from trainer.data import load, prepare
from trainer.stages import sealed, store
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect


def bare() -> None:
    """Replace all that only serves a bad day, in this process."""
    patches: list[tuple[Any, str, Any]] = [
        (os, "fsync", lambda descriptor: None),
        (StageStore, "claimed", lambda self, key: nullcontext()),
        (StageStore, "evict", lambda self, keep: 0),
        (Lease, "renew", lambda self: None),
        (store, "sealed", lambda result: result.to_json().encode()),
        (store, "unsealed", lambda blob: sealed.EpochResult.from_json(blob.decode())),
        (store, "sealed_state", lambda state: bytes(32) + sealed.packed(state)),
        (store, "content_of", lambda blob: blob[32:]),
        (journal, "_sealed", lambda record: json.dumps(record) + "\n"),
        (journal, "_unsealed", json.loads),
    ]
    for owner, name, replacement in patches:
        assert hasattr(owner, name)
        setattr(owner, name, replacement)


def run(folder: Path, data: Path, given: argparse.Namespace, is_bare: bool, result: Any) -> None:
    """Time one sweep in a folder that has an empty database."""
    os.chdir(folder)
    if is_bare:
        bare()
    load("digits", "test", None, data)
    connect(f"sqlite:///{folder}/mlflow.db")
    config = SweepConfig(
        train=TrainConfig(dataset="digits", epochs=given.epochs, device="cpu"),
        trials=given.trials,
        sampler="RandomSampler",
        pruner="none",
        executor="inline",
    )
    began = time.perf_counter()
    sweep(config, Places(data=data), progress=False)
    result.put(time.perf_counter() - began)


def main() -> None:
    """Print the seconds of each pair, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root:
        data, empty = Path(root, "data"), Path(root, "empty.db")
        prepare("digits", data)
        connect(f"sqlite:///{empty}")
        ratios = []
        for pair in range(given.pairs):
            seconds = {}
            for is_bare in (False, True) if pair % 2 else (True, False):
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    shutil.copy(empty, Path(folder, "mlflow.db"))
                    result = context.Queue()
                    args = (Path(folder), data, given, is_bare, result)
                    process = context.Process(target=run, args=args)
                    process.start()
                    seconds[is_bare] = result.get()
                    process.join()
            ratios.append(seconds[False] / seconds[True])
            print(
                f"{seconds[False]:.2f} s, bare {seconds[True]:.2f} s: {ratios[-1]:.3f}", flush=True
            )
    print(
        f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}, "
        f"n = {len(ratios)}"
    )


if __name__ == "__main__":
    main()
