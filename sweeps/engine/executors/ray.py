"""The executor `ray`: each stage is a task of a Ray cluster, whose nodes may come and go.

Ray decides where a task runs and reports what died; `Flights` submits it again. A node that would
give other numbers, or lacks the data or the store, is left out.
"""

from __future__ import annotations

import pickle
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError, TaskCancelledError

from sweeps.engine.executors.local import WorkerLost, settle
from sweeps.engine.executors.ray_worker import Worker, check_node, describe, run_task
from sweeps.errors import SweepError
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Execution
from trainer.data.arrays import say
from trainer.settings.config import TrainConfig
from trainer.settings.references import local_code
from trainer.stages.store import StageStore
from trainer.training.device import platform

T = TypeVar("T")

_NODE = "ray.io/node-id"  # the label that each node has from Ray
_LOOK_SECONDS = 1.0  # seconds between two looks at the nodes
_PATIENCE_SECONDS = 10.0  # for an answer, or until it is reported that no node has room

_joined = False


def join(config: Execution, train: TrainConfig, references: Iterable[str]) -> Worker:
    """Connect this process to the cluster, until it ends or joins again, and ask a worker.

    A program that called `ray.init` itself keeps its connection, and sends its code itself.

    Args:
        config: says which cluster.
        train: says which resources and device.
        references: to user code that the nodes need.

    Raises:
        SweepError: there is no such cluster, or its nodes cannot run this project.
        ConfigError: the nodes do not have the device.
    """
    global _joined
    _check_answers(config.ray_address)
    if _joined:
        ray.shutdown()
    if not ray.is_initialized():
        own = {"include_dashboard": False} if config.ray_address == "local" else {}
        code = {"py_modules": [str(path) for path in local_code(references)]}
        try:
            with _signals_kept():
                ray.init(
                    config.ray_address,
                    runtime_env=code,
                    log_to_driver=False,
                    logging_level="ERROR",
                    **own,
                )
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            raise _no_answer(config.ray_address, error) from error
        _joined = True
    device = train.device
    if device == "auto":
        device = "cuda" if ray.cluster_resources().get("GPU") else "cpu"
    executor = RayExecutor(config, replace(train, device=device))
    try:
        asked = executor.submit(describe, device if device == "cpu" else train.device)
        with suppress(TimeoutError):
            return asked.result(_PATIENCE_SECONDS)
        say(f"Waiting for a node of the Ray cluster with room for {executor.needs}.")
        return asked.result()
    finally:
        executor.stop()


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray would wait for minutes."""
    if found := re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", address):
        try:
            socket.create_connection((found[1], int(found[2])), _PATIENCE_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _no_answer(address, error) from error


def _no_answer(address: str, error: Exception) -> SweepError:
    why = str(error).rstrip(".")
    return SweepError(
        f"Ray's cluster {address} must answer, but: {why}. `ray start --head` starts one; one that "
        "has a token needs RAY_AUTH_MODE=token; --ray-address local needs none."
    )


def executor_for(
    config: SweepConfig, folder: Path, data: str, store: StageStore, *, apart: bool = False
) -> RayExecutor:
    """The executor of a sweep, on nodes of one kind that see its data and its store.

    Args:
        config: with its device resolved, of the cluster that was joined.
        folder: of the prepared data sets.
        data: digest of the data set.
        store: of stages, signed.
        apart: in other processes than those of the executor without it.
    """
    check = partial(check_node, config.train, platform(config.train.device), folder, data, store)
    return RayExecutor(config, config.train, check, {"PYTHONHASHSEED": "1"} if apart else None)


class RayExecutor:
    """Runs functions as tasks of the cluster that this process joined.

    Args:
        config: how many at once, with which share of a GPU, and for how long each.
        train: its threads and its device are what a task takes.
        check: raises a `TrainerError` in a worker whose node is not fit; it runs once in each
            process, before its first task.
        environment: variables of the worker processes, which are others for each such set.
    """

    def __init__(
        self,
        config: Execution,
        train: TrainConfig,
        check: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        gpus = config.gpus_per_trial if train.device == "cuda" else 0
        # a process that used a GPU keeps it, so that it must end with its task
        self._work = ray.remote(max_calls=1)(run_task) if gpus else ray.remote(run_task)
        self._options: dict[str, Any] = {
            "num_cpus": train.threads,
            "num_gpus": gpus,
            "max_retries": 0,
            "runtime_env": {"env_vars": dict(environment)} if environment else None,
        }
        self._given = pickle.dumps(check), str(Path.cwd()), config.epoch_timeout
        self._workers = config.workers
        self._per_gpu = config.trials_per_gpu
        self._needs = {"CPU": train.threads} | ({"GPU": gpus} if gpus else {})
        self._unfit: set[str] = set()
        self._looked = -_LOOK_SECONDS
        self._nodes: list[dict[str, Any]] = []
        self._running: dict[_Task, Any] = {}
        self._ended: queue.SimpleQueue[tuple[_Task, Future[bytes]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._settle_all, daemon=True).start()

    @property
    def slots(self) -> int:
        """The number of workers if it was given, with or without room; else what has room now."""
        return self._workers or max(1, sum(map(self._room, self._fit_nodes())))

    @property
    def needs(self) -> str:
        """The resources of a task, for people."""
        return " and ".join(f"{count:g} {name}" for name, count in self._needs.items())

    def submit(self, fn: Callable[..., T], *args: Any) -> Future[T]:
        """Run `fn(*args)` on a node that has room, as soon as one has."""
        task = _Task(pickle.dumps((fn, args)))
        self._start(task)
        return task.future

    def stop(self) -> None:
        """Kill what still runs."""
        self._ended.put(None)
        for reference in list(self._running.values()):
            with suppress(RayError):
                ray.cancel(reference, force=True)

    def _start(self, task: _Task) -> None:
        if self._unfit:
            others = {_NODE: f"!in({','.join(sorted(self._unfit))})"}
            self._options["label_selector"] = others
        reference = self._work.options(**self._options).remote(*self._given, task.work)
        self._running[task] = reference
        reference.future().add_done_callback(lambda done: self._ended.put((task, done)))

    def _settle_all(self) -> None:
        """Settle each task that ends, in a thread of its own: Ray's must not wait for Ray."""
        while (ended := self._ended.get()) is not None:
            task, done = ended
            self._running.pop(task, None)
            try:
                self._settle(task, done)
            except Exception as error:  # otherwise its future would never be done
                task.future.set_exception(error)

    def _settle(self, task: _Task, done: Future[bytes]) -> None:
        """Set the result of a task's future, or have another node try."""
        error = done.exception()
        if isinstance(error, TaskCancelledError):
            task.future.cancel()
        elif isinstance(error, (RayTaskError, RuntimeEnvSetupError)):
            last = str(error).strip().rpartition("\n")[2].rstrip(".")
            raise SweepError(
                f"Every node of the Ray cluster must have the packages of constraints.txt, but one "
                f"failed with: {last}."
            ) from error
        elif error is not None:
            why = str(error).partition(".")[0]
            raise WorkerLost(f"A worker died with its task: {why}.") from error
        else:
            node, why, outcome = pickle.loads(done.result())
            if why:
                self._leave_out(node, why.rstrip("."), task)
            else:
                settle(task.future, outcome)

    def _leave_out(self, node: str, why: str, task: _Task) -> None:
        """Submit no more tasks to a node, and submit this one to another."""
        names = {it["NodeID"]: it["NodeManagerHostname"] for it in self._fit_nodes()}
        if node in names:
            say(f"Node {names[node]} ({node[:8]}) of the Ray cluster gets no epochs: {why}.")
        self._unfit.add(node)
        if any(map(self._room, self._fit_nodes())):
            self._start(task)
        else:
            raise SweepError(f"A node of the Ray cluster must be fit, but none is left: {why}.")

    def _fit_nodes(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._nodes = [node for node in ray.nodes() if node["Alive"]]
        return [node for node in self._nodes if node["NodeID"] not in self._unfit]

    def _room(self, node: Mapping[str, Any]) -> int:
        """How many tasks a node has room for; a share of a GPU lies on one GPU."""
        has = node["Resources"]
        rooms = [int(has.get("CPU", 0) // self._needs["CPU"])]
        if "GPU" in self._needs:
            rooms.append(int(has.get("GPU", 0)) * self._per_gpu)
        return min(rooms)


class _Task:
    """A pickled function with its arguments, and its future."""

    def __init__(self, work: bytes) -> None:
        self.work = work
        self.future: Future[Any] = Future()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray handles SIGTERM in its own way, which would leave MLflow's runs unfinished."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
