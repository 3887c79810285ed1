"""The executor `ray` on clusters of several nodes: they die, come, and are of other kinds."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from servers import free_port

pytest.importorskip("ray")

from clusters import (
    WAIT,
    joined,
    node_after,
    node_but,
    node_now,
    ray_cluster,
    rest,
    until,
    where,
)
from ray.cluster_utils import Cluster

from sweeps.engine.executors import TaskFailed, WorkerLost
from sweeps.engine.executors.ray import RayExecutor, executor_for, join
from sweeps.engine.executors.ray_worker import _limited, check_node
from sweeps.errors import SweepError
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Execution
from trainer.data import prepare
from trainer.errors import DataError, PlatformMismatch, StoreError
from trainer.settings.config import TrainConfig
from trainer.stages.stage import data_of
from trainer.stages.store import StageStore
from trainer.training.device import platform

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes of one CPU each, joined by this process from a folder without code."""
    with ray_cluster(2) as made, chdir(tmp_path_factory.mktemp("joined")):
        before = signal.getsignal(signal.SIGTERM)
        joined(made.address).stop()
        assert signal.getsignal(signal.SIGTERM) == before, "Ray would end a sweep in its own way"
        yield made


def executor_with(device: str = "cpu", **execution: object) -> RayExecutor:
    """An executor on the cluster that was joined."""
    return RayExecutor(Execution(executor="ray", **execution), TrainConfig(device=device))


def test_a_node_that_dies_loses_its_tasks_and_no_other_and_a_new_one_is_used(
    cluster: Cluster, tmp_path: Path
) -> None:
    """What ran there is lost as with a worker that dies; `slots` is what nodes have room for."""
    executor = executor_with()
    try:
        assert executor.slots == 2
        futures = [executor.submit(node_after, tmp_path / "go") for _ in range(2)]
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        (doomed,) = cluster.worker_nodes
        cluster.remove_node(doomed, allow_graceful=False)
        until(lambda: any(future.done() for future in futures))
        (tmp_path / "go").touch()
        lost, done = sorted(futures, key=lambda it: it.exception(WAIT) is None)
        assert isinstance(lost.exception(), WorkerLost)
        assert done.result() != doomed.node_id
        until(lambda: executor.slots == 1)
        cluster.add_node(num_cpus=1)
        until(lambda: executor.slots == 2)
        assert len({it.result(WAIT) for it in [executor.submit(node_now, 0.5) for _ in "12"]}) == 2
    finally:
        executor.stop()


def test_the_code_of_the_sweep_and_of_users_reaches_the_nodes(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is installed there; tasks run in the same working folder where there is one."""
    monkeypatch.chdir(tmp_path)
    executor = executor_with()
    ours, theirs, _, folder = executor.submit(where).result(WAIT)
    executor.stop()
    assert "py_modules_files" in ours
    assert "py_modules_files" in theirs
    assert folder == str(tmp_path)


def test_a_task_that_takes_too_long_is_ended(cluster: Cluster) -> None:
    """Its worker continues with the next."""
    executor = executor_with(epoch_timeout=1.0)
    try:
        with pytest.raises(TaskFailed, match=r"time limit of 1 s \(--epoch-timeout\)"):
            executor.submit(rest, 600).result(WAIT)
        assert executor.submit(abs, -3).result(WAIT) == 3
    finally:
        executor.stop()


def hang() -> None:
    """Take longer than the time limit where no signal comes through."""
    import sweeps.engine.executors.ray_worker as module

    module._GRACE_SECONDS = 0.1
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    with _limited(0.1):
        time.sleep(600)


def test_a_task_out_of_time_that_cannot_be_interrupted_ends_with_its_process() -> None:
    """It is lost then, and submitted again until it is suspected."""
    process = multiprocessing.get_context("spawn").Process(target=hang)
    process.start()
    process.join(WAIT)
    assert process.exitcode == 1


def test_shares_of_gpus_give_slots(cluster: Cluster) -> None:
    """Four epochs on each GPU with a quarter each; nodes without a GPU have none."""
    node = cluster.add_node(num_cpus=16, num_gpus=2)
    executor = executor_with("cuda", gpus_per_trial=0.25)
    try:
        assert executor.slots == 8
        assert executor.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(WAIT) in ("0", "1")
    finally:
        executor.stop()
        cluster.remove_node(node)


def test_so_many_workers_as_are_asked_for_are_slots_though_no_node_has_room(
    cluster: Cluster,
) -> None:
    """What does not fit waits in Ray, from which its autoscaler sees how many nodes are needed."""
    executor = executor_with(workers=7)
    assert executor.slots == 7
    executor.stop()


@pytest.fixture
def sweep_config(sample: Path, cluster: Cluster) -> SweepConfig:
    """A sweep over the sample on the cluster, with its device resolved."""
    train = TrainConfig(dataset=str(sample), limit=100, device="cpu")
    return SweepConfig(train=train, executor="ray", ray_address=cluster.address)


def executor_on(config: SweepConfig, folder: Path, stages: str) -> RayExecutor:
    """The executor that a sweep with this stage store has."""
    store = StageStore(stages)
    store.sign()
    return executor_for(config, folder, data_of(config.train, folder).digest, store)


def test_a_node_of_another_kind_gets_no_epochs(
    cluster: Cluster, sweep_config: SweepConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would give other numbers; what it was given goes to another, and one line says so."""
    odd = cluster.add_node(num_cpus=1, env_vars={"ONEDNN_MAX_CPU_ISA": "SSE41"})
    executor = executor_on(sweep_config, tmp_path, str(tmp_path / "stages"))
    try:
        assert executor.slots == 3
        futures = [executor.submit(node_now, 0.5) for _ in range(3)]
        assert odd.node_id not in {future.result(WAIT) for future in futures}
        assert executor.slots == 2
        said = capfd.readouterr().err
        assert said.count("of the Ray cluster gets no epochs") == 1
        assert "ONEDNN_MAX_CPU_ISA (SSE41, not None)" in said
    finally:
        executor.stop()
        cluster.remove_node(odd)


def test_a_node_that_finds_another_key_gets_no_epochs(cluster: Cluster) -> None:
    """Whatever differs there: what a task finds out counts as what is checked before it."""
    executor = executor_with()
    nodes = [node["NodeID"] for node in executor._fit_nodes()]
    futures = [executor.submit(node_but, nodes[0]) for _ in nodes]
    assert {future.result(WAIT) for future in futures} == {nodes[1]}
    assert executor.slots == 1
    executor.stop()


def test_a_stage_store_that_nodes_do_not_see_is_refused(
    sweep_config: SweepConfig, tmp_path: Path
) -> None:
    """As a folder of this machine alone; here one in the memory of this process."""
    executor = executor_on(sweep_config, tmp_path, "memory://stages")
    with pytest.raises(SweepError, match=r"cluster must be fit, but none is left: .*--stages"):
        executor.submit(abs, -3).result(WAIT)
    executor.stop()


def test_what_makes_a_node_unfit_is_found_there(small: object, tmp_path: Path) -> None:
    """The platform, the stage store, and the data by their digest."""
    train, store = TrainConfig(dataset="digits", device="cpu"), StageStore(tmp_path / "stages")
    here = platform("cpu")
    with pytest.raises(StoreError, match="must see the stage store"):
        check_node(train, here, tmp_path, "digest", store)
    store.sign()
    with pytest.raises(PlatformMismatch, match=r"torch \(.*, not 1\.0\)"):
        check_node(train, here | {"torch": "1.0"}, tmp_path, "digest", store)
    with pytest.raises(DataError, match="must have the digest digest, but it has"):
        check_node(train, here, tmp_path, "digest", store)
    prepare("digits", tmp_path)
    check_node(train, here, tmp_path, data_of(train, tmp_path).digest, store)


def test_code_is_tried_in_another_process_with_another_order_of_sets(
    sweep_config: SweepConfig, tmp_path: Path
) -> None:
    """So that code that depends on either is found out."""
    executor = executor_on(sweep_config, tmp_path, str(tmp_path / "stages"))
    data = data_of(sweep_config.train, tmp_path).digest
    store = StageStore(tmp_path / "stages")
    store.sign()
    apart = executor_for(sweep_config, tmp_path, data, store, apart=True)
    here = {executor.submit(where).result(WAIT)[2] for _ in range(3)}
    there = {apart.submit(where).result(WAIT)[2] for _ in range(3)}
    assert not here & there
    assert apart.submit(os.getenv, "PYTHONHASHSEED").result(WAIT) == "1"
    apart.stop()
    executor.stop()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_no_cluster_listens_is_told_at_once(scheme: str) -> None:
    """Ray itself would wait for minutes."""
    config = Execution(executor="ray", ray_address=f"{scheme}127.0.0.1:{free_port()}")
    with pytest.raises(SweepError, match=r"^Ray's cluster .* must answer, but: .*refused"):
        join(config, TrainConfig(device="cpu"), [])


def only_here() -> None:
    """No node has this module."""


def test_a_node_that_cannot_import_what_it_needs_ends_the_sweep(cluster: Cluster) -> None:
    """Every epoch would fail there, and no trial is to fail for it."""
    executor = executor_with()
    with pytest.raises(SweepError, match=r"must have the packages .* No module named 'test_ray'\."):
        executor.submit(only_here).result(WAIT)
    executor.stop()


def test_stop_ends_what_still_runs(cluster: Cluster, tmp_path: Path) -> None:
    """The nodes have room for others at once."""
    executor, other = executor_with(), executor_with()
    futures = [executor.submit(node_after, tmp_path / "go") for _ in range(2)]
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    executor.stop()
    assert other.submit(abs, -3).result(WAIT) == 3
    assert not any(future.done() for future in futures)
    other.stop()


def test_workers_die_with_their_parent(cluster: Cluster, tmp_path: Path) -> None:
    """However that ends, the nodes have room for others then."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from clusters import joined, node_after\n"
        "executor = joined(sys.argv[1])\n"
        "futures = [executor.submit(node_after, Path(sys.argv[2])) for _ in range(2)]\n"
        "[future.result() for future in futures]\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code, cluster.address, str(tmp_path / "go")],
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        parent.kill()
    executor = executor_with()
    assert executor.submit(abs, -3).result(WAIT) == 3
    executor.stop()
