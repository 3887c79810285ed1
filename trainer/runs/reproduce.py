"""Train a logged run again, and compare the numbers bit for bit."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, TrackingError
from trainer.metrics import LR, RUNNING_LOSS, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from trainer.settings.config import TrainConfig
from trainer.stages.plan import environment
from trainer.stages.stage import data_of, prepared_data, renew, train_stage
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect, has_run, read_file, unbounded, without_password
from trainer.tracking.names import CONFIG_FILE, ENVIRONMENT_FILE
from trainer.training.check import check_train
from trainer.training.recipe import recipe_of

NUMBERS = (LR, RUNNING_LOSS, TRAIN_LOSS, VAL_LOSS, VAL_ACCURACY)
"""Metrics of an epoch that its config determines bit for bit; times are not among them."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A run as logged in MLflow.

    Attributes:
        run_id: MLflow's.
        config: of the run.
        epochs: the `NUMBERS` and the metrics of the user's of epochs 1, 2, ... in order; fewer than
            in the config if the run was stopped.
        environment: all that determined its numbers; None if it was not recorded.
    """

    run_id: str
    config: TrainConfig
    epochs: tuple[Mapping[str, float], ...]
    environment: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Comparison of one epoch.

    Attributes:
        epoch: counted from 1.
        differences: numbers as logged and as trained now, by name; empty if all are equal.
    """

    epoch: int
    differences: Mapping[str, tuple[float, float]]


def read_run(run_id: str, tracking_uri: str) -> Logged:
    """Read the run of a trial, or a single run.

    Raises:
        TrackingError: there is no such run, or it trained nothing.
    """
    client = connect(tracking_uri)
    if not has_run(client, run_id):
        raise TrackingError(
            f"Run must be the id of a run in MLflow's store {without_password(tracking_uri)}, but "
            f"got {run_id!r}; a report's frame `trials` has those of a study: "
            "python -m sweeps.report --format csv"
        )
    try:
        config = TrainConfig.from_json(read_file(client, run_id, CONFIG_FILE))
    except TrackingError as error:
        raise TrackingError(
            f"Run {run_id} must be one that trained, a trial's or a single one, but has no "
            "config.json; a study's own run has none."
        ) from error
    try:
        recorded = json.loads(read_file(client, run_id, ENVIRONMENT_FILE))
    except TrackingError:  # the run predates environment.json
        recorded = None
    names = (*NUMBERS, *config.metrics)
    points = [
        (point.timestamp, point.step, name, unbounded(point.value))
        for name in names
        for point in client.get_metric_history(run_id, name)
    ]
    return Logged(
        run_id=run_id,
        config=config,
        epochs=tuple(_epochs(points, len(names))),
        environment=recorded,
    )


def verify(logged: Logged, folder: Path) -> Iterator[Compared]:
    """Train each logged epoch again, without a store, and compare it.

    Args:
        logged: the run.
        folder: of the data sets; that of the run is prepared if it is missing.

    Raises:
        ConfigError: the run has no epochs, or its config can no longer be trained.
        DataError: the data set cannot be had.
    """
    if not logged.epochs:
        raise ConfigError(f"Run {logged.run_id} must have epochs to be verified, but has none.")
    renew(logged.config)
    check_train(logged.config)
    prepared_data(logged.config, folder)
    with tempfile.TemporaryDirectory() as stages:
        store = StageStore(stages)
        for epoch, expected in enumerate(logged.epochs, start=1):
            got = train_stage(logged.config, epoch, store, folder).result.metrics()
            yield Compared(
                epoch=epoch,
                differences={
                    name: (value, got[name])
                    for name, value in expected.items()
                    if not _same(value, got[name])
                },
            )


def changes(logged: Logged, folder: Path) -> list[str]:
    """Facts that determine the numbers and have changed, each as "name: then -> now"."""
    if logged.environment is None:
        return ["the run did not record what determined its numbers"]
    now = environment(recipe_of(logged.config, data_of(logged.config, folder)))
    then, now = _flat(logged.environment), _flat(json.loads(json.dumps(now)))
    return [
        f"{name}: {then.get(name)} -> {now.get(name)}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def _epochs(
    points: Iterable[tuple[int, int, str, float]], count: int
) -> Iterator[dict[str, float]]:
    """The numbers of each complete epoch; the later ones where an epoch was logged twice.

    Args:
        points: milliseconds since 1970, epoch, name and value of each.
        count: of the numbers of a complete epoch.
    """
    values: dict[int, dict[str, float]] = {}
    for _, epoch, name, value in sorted(points, key=lambda point: point[0]):
        values.setdefault(epoch, {})[name] = value
    epoch = 1
    while len(values.get(epoch, ())) == count:
        yield values[epoch]
        epoch += 1


def _flat(facts: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Nested facts as "outer.inner"."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{within}{name}.")
        else:
            flat[f"{within}{name}"] = value
    return flat


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
