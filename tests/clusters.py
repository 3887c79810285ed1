"""Ray clusters of several nodes on this machine."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster

import trainer
from sweeps.engine.executors.ray import RayExecutor, join
from sweeps.settings.execution import Execution
from trainer.errors import PlatformMismatch
from trainer.settings.config import TrainConfig

WAIT = 180


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
