"""The functions that run on a node of a Ray cluster: a task, and the check of the node."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import ray

from sweeps.engine.executors.local import TaskFailed, contained
from trainer.errors import DataError, PlatformMismatch, StoreError, TrainerError
from trainer.settings.config import TrainConfig
from trainer.stages.stage import prepared_data
from trainer.stages.store import StageStore
from trainer.training.device import platform, resolve_device

_GRACE_SECONDS = 10.0  # for an epoch that timed out to end by itself


@dataclass(frozen=True)
class Worker:
    """The kind of node that trains, as the first one describes itself.

    Attributes:
        device: what `auto` means there.
        platform: facts that determine the bits of a training.
    """

    device: str
    platform: Mapping[str, str]


def describe(device: str) -> Worker:
    """In a worker: its device and platform."""
    device = resolve_device(device)
    return Worker(device, platform(device))


def check_node(
    train: TrainConfig, expected: Mapping[str, str], folder: Path, data: str, store: StageStore
) -> None:
    """In a worker: check its node, and prepare the data set there if it is missing.

    Args:
        train: with its device resolved.
        expected: the platform of all numbers of the study.
        folder: of the prepared data sets.
        data: digest of the data set.
        store: of stages, as it was signed.

    Raises:
        PlatformMismatch: it would give other numbers.
        StoreError: it does not see the stage store.
        DataError: it cannot get the data set, or has another one of that name.
    """
    here = platform(train.device)
    if here != expected:
        names = sorted(here.keys() | expected.keys())
        differing = [name for name in names if here.get(name) != expected.get(name)]
        raise PlatformMismatch(
            "all nodes must give the same numbers, but it differs from the first in "
            + ", ".join(
                f"{name} ({here.get(name)}, not {expected.get(name)})" for name in differing
            )
        )
    if not store.is_same():
        raise StoreError(
            f"all nodes must see the stage store {store.url}, but it does not; --stages must name "
            "a folder that they share, or a URL such as s3://bucket/stages"
        )
    if (got := prepared_data(train, folder).digest) != data:
        raise DataError(f"the data set must have the digest {data}, but it has {got} in {folder}")


def run_task(check: bytes, folder: str, seconds: float | None, task: bytes) -> bytes:
    """In a worker: the node's id, why it is unfit ("": it is fit), and the pickled outcome."""
    node = ray.get_runtime_context().get_node_id()
    with suppress(OSError):  # relative paths mean what they mean where the sweep was started
        os.chdir(folder)
    if why := _why_unfit(check):
        return pickle.dumps((node, why, None))
    fn, args = pickle.loads(task)
    unfit = ""

    def run() -> Any:
        nonlocal unfit
        try:
            with _limited(seconds):
                return fn(*args)
        except PlatformMismatch as error:
            unfit = str(error)
        except _TimeIsUp as error:
            limit = f"the time limit of {seconds:g} s (--epoch-timeout)"
            raise TaskFailed(f"It took longer than {limit}, and was ended.") from error

    outcome = contained(None, run)
    return pickle.dumps((node, unfit, outcome))


@lru_cache(maxsize=8)
def _why_unfit(check: bytes) -> str:
    try:
        if call := pickle.loads(check):
            call()
    except TrainerError as error:
        return str(error)
    return ""


class _TimeIsUp(BaseException):
    """The task timed out; no `except Exception` of users' code catches it."""


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Interrupt the block after so long; if that does not end it, end the process.

    Raises:
        _TimeIsUp: it took longer.
    """
    if seconds is None:
        yield
        return

    def interrupt(signum: int, frame: object) -> None:
        raise _TimeIsUp

    killer = threading.Timer(seconds + _GRACE_SECONDS, partial(os._exit, 1))
    killer.daemon = True
    killer.start()
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        killer.cancel()
