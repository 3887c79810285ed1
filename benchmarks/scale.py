"""How far one coordinator goes: a sweep whose epochs sleep and return recorded numbers.

    python benchmarks/scale.py --trials 1000 2000
    python benchmarks/scale.py --trials 1000 --tracking-uri http://127.0.0.1:5000
    python benchmarks/scale.py --trials 1000 --profile scale.prof

Only the workers are simulated: each epoch takes `--seconds` (give or take half) of a thread's time
and returns the numbers that a table has for the nearest configuration. Coordinator, sampler, keys,
journal and the delivery to MLflow are those of a sweep; learning rate and gamma are continuous, so
that trials share few epochs. Workers store their results elsewhere, and no checkpoints are kept.

Each size is a study of its own in a process of its own, which prints a row: epoch results a second
until the last was taken into account, and until MLflow had all; milliseconds of the CPU that the
coordinator's thread spent on each; its share of a core, and that of the whole process, which has
the delivery to MLflow and the simulated workers too; and memory at the end.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tabulated import Point, Tabulated

from sweeps.engine import session
from sweeps.engine.coordinator import Coordinator
from sweeps.engine.delivery import Delivery
from sweeps.engine.progress import Progress
from sweeps.engine.workspace import open_workspace, ready
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from sweeps.study.opening import open_study
from sweeps.study.trials import Trials
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.stages.stage import Trained
from trainer.tracking.record import CheckpointRule, RunRecord

_COLUMNS = ("train_loss", "val_loss", "val_accuracy", "first_batch_loss")


class Recorded:
    """The numbers of a table, for configurations beside its own too."""

    def __init__(self, table: Tabulated) -> None:
        self._table = table
        self._columns = {name: table.column(name) for name in _COLUMNS}

    def result(self, config: TrainConfig, epoch: int, trained_for: str) -> EpochResult:
        """What the nearest configuration gave in that epoch."""
        table = self._table
        point = Point(
            config.optimizer,
            _nearest(table.rates[config.optimizer], config.lr),
            _nearest(table.step_sizes, config.step_size),
            _nearest(table.gammas, config.gamma),
        )
        at = table.index(point), epoch - 1
        values = {name: float(column[at]) for name, column in self._columns.items()}
        values |= {
            "running_loss": values["train_loss"] * 24,
            "lr": config.lr * config.gamma ** ((epoch - 1) // config.step_size),
            "epoch_seconds": 1.0,
            "images_per_second": 1500.0,
        }
        return EpochResult(
            epoch=epoch,
            values=values,
            state_digest="",
            trained_for=trained_for,
            worker="simulated:1",
            ended_at=time.time(),
        )


def _nearest(values: Any, wanted: float) -> Any:
    return min(values, key=lambda it: abs(np.log(it / wanted)))


@dataclass(order=True)
class _Flight:
    ends: float
    number: int
    land: Callable[[], None] = field(compare=False)


class Workers:
    """An executor whose workers sleep, all in one thread.

    Args:
        slots: workers.
        recorded: gives the results.
        seconds: that an epoch takes on average.
    """

    def __init__(self, slots: int, recorded: Recorded, seconds: float) -> None:
        self.slots = slots
        self._recorded, self._seconds = recorded, seconds
        self._random = random.Random(0)
        self._flights: list[_Flight] = []
        self._submitted = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Begin an epoch."""
        assert isinstance(fn, partial)
        config, epoch = fn.args[:2]
        result = self._recorded.result(config, epoch, fn.keywords["trained_for"])
        future: Future[Any] = Future()
        ends = time.monotonic() + self._seconds * self._random.uniform(0.5, 1.5)
        with self._changed:
            land = partial(future.set_result, Trained(result=result))
            heapq.heappush(self._flights, _Flight(ends, self._submitted, land))
            self._submitted += 1
            self._changed.notify()
        return future

    def stop(self) -> None:
        """Nothing is running."""

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = []
                while self._flights and self._flights[0].ends <= now:
                    due.append(heapq.heappop(self._flights))
                if not due:
                    left = self._flights[0].ends - now if self._flights else None
                    self._changed.wait(left)
            for flight in due:
                flight.land()


class Marks:
    """A view that prints time and memory each time so many more epochs were taken into account."""

    def __init__(self, every: int) -> None:
        self._every, self._next = every, every
        self._began, self._epochs = time.monotonic(), 0

    def show(self, progress: Progress) -> None:
        """Print a line where it is due."""
        now, epochs = time.monotonic(), progress.trained + progress.reused
        if epochs < self._next or progress.closing:
            return
        rate = (epochs - self._epochs) / (now - self._began)
        say(f"  {epochs} epochs: {rate:.0f} results/s, {memory():.0f} MB {progress.problem}")
        self._began, self._epochs, self._next = now, epochs, epochs + self._every

    def say(self, line: str) -> None:
        """Nobody reads."""


class Nowhere:
    """A tracker that takes everything and keeps nothing."""

    def sync(self, record: RunRecord) -> None:
        """Drop it."""

    def is_whole(self, record: RunRecord) -> bool:
        """Nothing is left to deliver."""
        return True


def memory() -> float:
    """Megabytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def say(line: str) -> None:
    """Print it at once."""
    print(line, flush=True)


def space_of(table: Tabulated) -> str:
    """The table's space, with continuous rates and gammas."""
    lines = [
        f"optimizer = {json.dumps(list(table.rates))}",
        "step_size = { low = 2, high = 20 }",
        "gamma = { low = 0.1, high = 0.9 }",
    ]
    for optimizer, rates in table.rates.items():
        lines.append(f"[when.optimizer.{optimizer}]")
        lines.append(f"lr = {{ low = {rates[0]:g}, high = {rates[-1]:g}, log = true }}")
    return "\n".join(lines) + "\n"


def run(given: argparse.Namespace, trials: int, folder: Path) -> None:
    """Run one study in this process, and print its row."""
    os.chdir(folder)
    table = Tabulated("digits")
    Path("space.toml").write_text(space_of(table))
    config = ready(
        SweepConfig(
            train=TrainConfig(dataset="digits", epochs=given.epochs, device="cpu"),
            trials=trials,
            study=f"scale-{given.sampler}-{trials}-{os.getpid()}",
            space="space.toml",
            sampler=given.sampler,
            pruner=given.pruner,
            executor="inline",
            concurrent_trials=given.workers,
            checkpoints=CheckpointRule(best=False, last=False),
        )
    )
    places = Places(tracking_uri=given.tracking_uri, storage=given.storage)
    view = Marks(trials * given.epochs // 10)
    with (
        open_workspace(config, places) as work,
        open_study(config, Paths.here(), places.storage, work.data.digest) as study,
    ):
        workers: Any = Workers(given.workers, Recorded(table), given.seconds)
        work = replace(work, executor=workers)
        if given.no_mlflow:
            work = replace(work, delivery=Delivery(Nowhere()))
        source = Trials(config, study, work.data, plan=work.plan, width=given.workers)
        coordinator = Coordinator(config, study, source, work, view)
        began, cpu, own = time.monotonic(), time.process_time(), time.thread_time()
        ran: list[tuple[float, float, float]] = []

        def parent(state: str) -> Any:
            if coordinator.progress.done and not ran:  # it was asked for at the end
                ran.append((time.monotonic(), time.process_time(), time.thread_time()))
            return session._parent(config, study, state, coordinator.progress)

        with profiled(given.profile):
            session.drive(coordinator, work, view, parent)
        ended = time.monotonic()
    (at, cpu_at, own_at), epochs = (
        ran[0],
        coordinator.progress.trained + coordinator.progress.reused,
    )
    seconds, own, cpu = at - began, own_at - own, cpu_at - cpu
    mlflow = "none" if given.no_mlflow else "server" if given.tracking_uri else "SQLite"
    say(
        f"| {given.sampler} | {mlflow} | {trials:,} | {epochs:,} | {epochs / seconds:.0f} | "
        f"{epochs / (ended - began):.0f} | {1000 * own / epochs:.1f} | {own / seconds:.0%} | "
        f"{cpu / seconds:.0%} | {memory():.0f} |"
    )


@contextmanager
def profiled(path: str | None) -> Iterator[None]:
    """Profile the block, and write what was found to a file, if one is named."""
    profile = cProfile.Profile()
    if path:
        profile.enable()
    try:
        yield
    finally:
        if path:
            profile.disable()
            profile.dump_stats(path)


def main() -> None:
    """Run the studies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0, help="that an epoch sleeps")
    parser.add_argument("--sampler", default="RandomSampler")
    parser.add_argument("--pruner", default="NopPruner")
    parser.add_argument("--tracking-uri", help="a server; by default SQLite in an own folder")
    parser.add_argument("--no-mlflow", action="store_true", help="the coordinator alone")
    parser.add_argument("--storage", help="Optuna's; by default a journal")
    parser.add_argument("--profile", metavar="FILE", help="of the coordinator's thread")
    given = parser.parse_args()
    given.profile = given.profile and str(Path(given.profile).absolute())
    say(
        "| sampler | MLflow | trials | epochs | results/s | with all delivered "
        "| ms of coordinator per result | CPU of coordinator | CPU of process | MB |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|")
    for trials in given.trials:
        with tempfile.TemporaryDirectory() as folder:
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=run, args=(given, trials, Path(folder)))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"The study of {trials} trials ended with {process.exitcode}.")


if __name__ == "__main__":
    main()
