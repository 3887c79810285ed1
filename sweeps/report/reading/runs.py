"""MLflow's runs and the metrics of their epochs, read by MLflow's client."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics import EPOCH_METRICS, TEST_ACCURACY, TEST_LOSS
from trainer.tracking.connection import search_runs
from trainer.tracking.names import EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER
from trainer.tracking.record import BEST

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAMES = (EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER, *EPOCH_METRICS)
"""The metrics of an epoch. The end time is read first: every epoch up to it is then complete."""

PLACES = {name: place for place, name in enumerate(NAMES)}
"""Index in `NAMES` by name, with the names in older runs."""
PLACES |= {name.replace("system/", "epoch/"): place for name, place in PLACES.items()}

OF_RUNS = (TEST_LOSS, TEST_ACCURACY)
"""Metrics that the built-in training measures once for a run; a loop of the user's in epochs."""

POINT = np.dtype(
    [("run", "i4"), ("name", "i2"), ("epoch", "i4"), ("timestamp", "i8"), ("value", "f8")]
)
"""A metric of an epoch: index of the run, index of the name, milliseconds since 1970, value."""

_THREADS = 8
_FEW_REQUESTS = 500  # need no progress bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run of MLflow.

    Attributes:
        id: run id.
        status: MLflow's status.
        started_at: milliseconds since 1970.
        ended_at: milliseconds since 1970; None while it runs.
        params, tags: texts by name.
        metrics: last value by name.
    """

    id: str
    status: str
    started_at: int
    ended_at: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    def has_measured(self, name: str) -> bool:
        """Whether a metric was measured once, of the whole run."""
        return name in OF_RUNS and "trainable" not in self.params


def own_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics of epochs that the built-in training does not have, sorted."""
    names = {name for run in runs for name in run.metrics if not run.has_measured(name)}
    return sorted(it for it in names - PLACES.keys() if not it.startswith(BEST))


def places_of(runs: Sequence[Run]) -> dict[str, int]:
    """Index of each metric of the epochs of these runs: as in `PLACES`, then own ones."""
    return PLACES | {it: len(NAMES) + at for at, it in enumerate(own_metrics(runs))}


def client_runs(client: MlflowClient, experiment_id: str, query: str) -> Iterable[Run]:
    """All runs of the experiment that match the query."""
    for run in search_runs(client, experiment_id, query):
        info, data = run.info, run.data
        yield Run(
            id=info.run_id,
            status=info.status,
            started_at=info.start_time,
            ended_at=info.end_time,
            params=data.params,
            tags=data.tags,
            metrics=data.metrics,
        )


def client_points(client: MlflowClient, runs: Sequence[Run]) -> NDArray[Any]:
    """All metrics of all epochs of these runs, as `POINT`s.

    This takes one request per run and metric, in several threads. Many requests have a progress
    bar.
    """
    places = places_of(runs)
    wanted = [
        (at, place, name)
        for at, run in enumerate(runs)
        for name, place in places.items()
        if name in run.metrics
    ]

    def fetch(request: tuple[int, int, str]) -> list[tuple[int, int, int, int, float]]:
        at, place, name = request
        history = client.get_metric_history(runs[at].id, name)
        return [(at, place, point.step, point.timestamp, point.value) for point in history]

    with ThreadPoolExecutor(_THREADS) as threads:
        answers = _tracked(threads.map(fetch, wanted), len(wanted))
        points = [point for answer in answers for point in answer]
    return np.array(points, dtype=POINT)


def _tracked(answers: Iterable[Any], count: int) -> Iterable[Any]:
    if count < _FEW_REQUESTS or not sys.stderr.isatty():
        return answers
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(answers, "reading MLflow", count, console=console, transient=True)
