"""`Workspace`: the data, the stage store, the workers and MLflow, as each start opens them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from sweeps.engine.delivery import Delivery
from sweeps.engine.executors import Executor, InlineExecutor, LocalExecutor
from sweeps.settings.check import check_objectives, check_sweep
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Execution, Places
from trainer.data import Data
from trainer.errors import ConfigError
from trainer.settings.apart import apart
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.settings.references import is_reference, unload_changed
from trainer.stages.plan import Plan, plan_of
from trainer.stages.stage import plan_from, prepared_data, renew
from trainer.stages.store import StageStore
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.names import STUDIES_EXPERIMENT
from trainer.training.device import assume_platform, platform, resolve_device, visible_gpus


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What trials are trained and delivered with.

    Attributes:
        data: the data set.
        folder: where data sets are prepared.
        store: of stages.
        executor: trains stages.
        tracker: writes the runs of studies to MLflow; used by the delivery's thread.
        delivery: delivers the records of runs to the tracker.
        processes: each makes an executor, of processes that the other does not use.
    """

    data: Data
    folder: Path
    store: StageStore
    executor: Executor
    tracker: MlflowTracker
    delivery: Delivery
    processes: tuple[Callable[[], Executor], Callable[[], Executor]] = (
        InlineExecutor,
        partial(LocalExecutor, 1),
    )

    def plan(self, config: TrainConfig, val_losses: Sequence[float] = ()) -> Plan:
        """The stages of a config, with user code in a process of its own.

        Raises:
            ConfigError: it cannot be trained.
        """
        if not config.user_code:
            return plan_of(self.data, config, val_losses)
        facts = platform(config.device)
        return apart(config.user_code, plan_from, self.folder, facts, config, val_losses)


@contextmanager
def open_workspace(config: SweepConfig, places: Places) -> Iterator[Workspace]:
    """Check that MLflow answers, prepare the data, start the workers; stop them at the end.

    Args:
        config: with its device resolved; see `ready`.
        places: where things are stored.

    Raises:
        DataError: the data set is not available.
        TrackingError: MLflow's store cannot be used.
    """
    paths = Paths.here()
    store = StageStore(places.stages or paths.stages, places.state_bytes)
    uri = places.tracking_uri or paths.tracking_uri
    artifacts = paths.artifacts(STUDIES_EXPERIMENT)
    tracker = MlflowTracker(uri, STUDIES_EXPERIMENT, artifacts, store)
    folder, data = open_data(config.train, places)
    check_objectives(config, data)
    executor: Executor = InlineExecutor()
    if config.executor == "local":
        gpus = visible_gpus() if config.train.device == "cuda" else []
        executor = LocalExecutor(
            slots(config), gpus, config.epoch_timeout, paths.logs(config.study_name)
        )
    local = partial(LocalExecutor, 1, logs=paths.logs(config.study_name))
    processes: Any = (InlineExecutor if config.executor == "inline" else local, local)
    if config.executor == "ray":
        on_ray = import_ray()
        store.sign()
        make = partial(on_ray.executor_for, config, folder, data.digest, store)
        executor = make()
        processes = (make, partial(make, apart=True))
    try:
        yield Workspace(
            data=data,
            folder=folder,
            store=store,
            executor=executor,
            processes=processes,
            tracker=tracker,
            delivery=Delivery(tracker),
        )
        store.release()  # not after an interrupt: the next start needs the same states
    finally:
        executor.stop()
        assume_platform(None)  # what this process trains itself later has other keys


def open_data(train: TrainConfig, places: Places) -> tuple[Path, Data]:
    """The folder of data sets, and the data set of this config, prepared there.

    Raises:
        DataError: it is not available.
    """
    folder = places.data or Paths.here().data
    return folder, prepared_data(train, folder)


def ready(config: SweepConfig) -> SweepConfig:
    """The checked config, with the name of its study and the device of this machine.

    Raises:
        ConfigError: it is not valid; the message says why.
    """
    if is_reference(config.space):
        unload_changed([str(config.space)])
    renew(config.train, config.references)
    check_sweep(config)
    config = replace(
        config, study=config.study_name, train=resolved(config, config.train, config.references)
    )
    config.search_space.check(config.train)
    return config


def resolved(config: Execution, train: TrainConfig, references: Iterable[str]) -> TrainConfig:
    """The config with the device of its workers, whose platform enters the keys.

    Args:
        config: names the executor.
        train: to be resolved.
        references: to user code that workers on other machines need.

    Raises:
        ConfigError: they do not have the device.
        SweepError: there are no workers.
    """
    if config.executor != "ray":
        assume_platform(None)
        return replace(train, device=resolve_device(train.device))
    worker = import_ray().join(config, train, [*references, train.scheduler, train.dataset])
    assume_platform(worker.platform)
    return replace(train, device=worker.device)


def import_ray() -> ModuleType:
    """The module of the executor `ray`, an optional dependency."""
    try:
        from sweeps.engine.executors import ray
    except ImportError as error:
        raise ConfigError(
            f"Executor ray must have the package of that name, but: {error}. "
            "`pip install '.[ray]'` installs it."
        ) from error
    return ray


def slots(config: SweepConfig) -> int:
    """Number of stages that this machine trains at once."""
    if config.executor == "inline":
        return 1
    if config.workers:
        return config.workers
    if config.train.device == "cuda":
        return len(visible_gpus()) * config.trials_per_gpu
    return max(1, cores() // config.train.threads)


def cores(root: Path = Path("/")) -> int:
    """CPUs this process may use: its affinity, capped by the quotas of its cgroups (v1 and v2).

    Args:
        root: of the file system with /proc and /sys.
    """
    least = float(len(os.sched_getaffinity(0)))
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            mount = root / "sys/fs/cgroup" / controllers
            for folder in (mount / group.lstrip("/"), *(mount / group.lstrip("/")).parents):
                if folder.is_relative_to(mount):
                    least = min(least, _quota(folder))
    return max(1, int(least))


def _quota(folder: Path) -> float:
    """CPUs that a cgroup may use at once; infinite where it has no quota."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # another version, or "max"
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf
