"""Ray clusters of several nodes on this machine, and the sweep that is run on them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import ray
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster

import trainer
from sweeps.engine.executors.ray import RayExecutor, join
from sweeps.report.reading.frames import load_study
from sweeps.settings.execution import Execution
from trainer.errors import PlatformMismatch
from trainer.settings.config import TrainConfig

WAIT = 60

WHEN_AND_WHERE = [
    "started_at", "seconds", "ended_at", "epoch_seconds", "images_per_second", "worker", "run_id",
]  # fmt: skip


@contextmanager
def ray_cluster(nodes: int) -> Iterator[Cluster]:
    """A cluster of so many nodes of one CPU each."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        head: dict[str, object] = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
        head["_system_config"] = {  # a node counts as dead within a second, not after 15
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 200,
            "health_check_failure_threshold": 3,
        }
        Path(get_default_ray_temp_dir()).mkdir(exist_ok=True)  # where it leaves its address
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes - 1):
                cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def joined(address: str, code: str = "clusters") -> RayExecutor:
    """An executor on a cluster whose nodes have a module of the tests."""
    config, train = Execution(executor="ray", ray_address=address), TrainConfig(device="cpu")
    join(config, train, [f"{code}:any"])
    return RayExecutor(config, train)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; fail where it does not become so in time."""
    deadline = time.monotonic() + WAIT
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def node_after(go: Path) -> str:
    """The node that runs this; it leaves its name beside the file that it waits for."""
    node = ray.get_runtime_context().get_node_id()
    (go.parent / node).touch()
    until(go.exists)
    return str(node)


def node_now(seconds: float) -> str:
    """The node that runs this for a while."""
    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


def node_but(other: str) -> str:
    """The node that runs this, after a while, unless that is another kind of node."""
    if (node := node_now(0.5)) == other:
        raise PlatformMismatch(f"Node {node} must be like the others.")
    return node


def rest(seconds: float) -> int:
    """Do nothing for a while; the process that did."""
    time.sleep(seconds)
    return os.getpid()


def where() -> tuple[str, str, int, str]:
    """Where `trainer` and this module were imported from, the process, and its working folder."""
    return trainer.__file__, __file__, os.getpid(), str(Path.cwd())


def small_sweep(sample: Path) -> list[str]:
    """A sweep that suspends trials, of which four are in training at a time."""
    words = (
        f"--trials 6 --epochs 3 --dataset {sample} --limit 50 --batch-size 5 --device cpu "
        "--concurrent-trials 4 --study mine --no-promote"
    )
    return words.split()


def table(uri: str) -> list[pd.DataFrame]:
    """What MLflow shows of trials and epochs, but for when and where they were trained."""
    study = load_study("mine", uri)
    return [it.drop(columns=WHEN_AND_WHERE, errors="ignore") for it in (study.trials, study.curves)]
