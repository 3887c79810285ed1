"""MLflow's runs as values, and the metric values of their epochs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics import EPOCH_METRICS
from trainer.tracking.connection import search_runs
from trainer.tracking.names import EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAMES = (EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER, *EPOCH_METRICS)
"""The metrics of an epoch; the time first: what is asked of a server later is then there too."""

PLACES = {name: place for place, name in enumerate(NAMES)}
"""Where each of them stands in `NAMES`, under the names of older runs, too."""
PLACES |= {name.replace("system/", "epoch/"): place for name, place in PLACES.items()}

POINT = np.dtype(
    [("run", "i4"), ("name", "i2"), ("epoch", "i4"), ("timestamp", "i8"), ("value", "f8")]
)
"""A value of an epoch: positions in the runs and in `NAMES`, and milliseconds since 1970."""

_REQUESTS = 8  # concurrent requests
_QUIET_REQUESTS = 500  # fewer need no bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One of MLflow's runs.

    Attributes:
        id: MLflow's.
        status: MLflow's.
        started_at: milliseconds since 1970; `ended_at` likewise, None while it runs.
        params, tags: as texts.
        metrics: the last value of each.
    """

    id: str
    status: str
    started_at: int
    ended_at: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def client_runs(client: MlflowClient, experiment_id: str, query: str) -> Iterable[Run]:
    """Every run of the experiment that matches the filter, by MLflow's public client."""
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
    """Every metric value of every epoch, by MLflow's client: one request per run and metric.

    Requests run concurrently, with a progress bar if there are many.

    Returns:
        N of `POINT`.
    """
    wanted = [
        (at, place, name)
        for at, run in enumerate(runs)
        for name, place in PLACES.items()
        if name in run.metrics
    ]

    def ask(request: tuple[int, int, str]) -> list[tuple[int, int, int, int, float]]:
        at, place, name = request
        history = client.get_metric_history(runs[at].id, name)
        return [(at, place, point.step, point.timestamp, point.value) for point in history]

    with ThreadPoolExecutor(_REQUESTS) as threads:
        answers = _tracked(threads.map(ask, wanted), len(wanted))
        points = [point for answer in answers for point in answer]
    return np.array(points, dtype=POINT)


def _tracked(answers: Iterable[Any], count: int) -> Iterable[Any]:
    if count < _QUIET_REQUESTS or not sys.stderr.isatty():
        return answers
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(answers, "reading MLflow", count, console=console, transient=True)
