"""Whatever an MLflow server does, all arrives in the end, once, and people are told meanwhile."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samples import result
from servers import Proxy, mlflow_server

from sweeps.engine.delivery import Delivery
from sweeps.engine.workspace import open_workspace
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from trainer.errors import TrackingError
from trainer.settings.config import TrainConfig
from trainer.stages.store import StageStore
from trainer.tracking.connection import search_runs
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.record import COMPLETE, RunRecord


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[tuple[str, str]]:
    """The addresses of two MLflow servers."""
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    for folder in (one, other):
        (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    with mlflow_server(one) as first, mlflow_server(other) as second:
        yield first, second


@pytest.fixture
def proxy(servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands before the first of them."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with Proxy(servers[0]) as proxy:
        yield proxy


def delivery_to(proxy: Proxy, store: StageStore, name: str) -> tuple[MlflowTracker, Delivery]:
    """A tracker that logs to an experiment of this name through the proxy."""
    tracker = MlflowTracker(proxy.url, name, "", store)
    return tracker, Delivery(tracker, quiet_seconds=0.0)


def study(name: str) -> tuple[RunRecord, list[RunRecord]]:
    """A study's own run, and those of its three trials, of two epochs each."""
    parent = RunRecord(id=name, group=name, name=name, started_at=1_700_000_000.0)
    trials = [
        RunRecord(
            id=f"{name}/{number}",
            group=name,
            parent=name,
            name=f"trial {number}",
            started_at=1_700_000_001.0 + number,
            params={"lr": "0.1"},
            files={"config.json": "{}"},
            results=(result(1), result(2)),
        )
        for number in range(3)
    ]
    return parent, trials


def assert_whole(tracker: MlflowTracker, name: str) -> None:
    """Each run is there once, has ended, and has each epoch once; trials are below the study."""
    runs = list(search_runs(tracker.client, tracker.experiment_id, ""))
    by_record: dict[str, Any] = {run.data.tags["sweep.run"]: run for run in runs}
    assert len(runs) == len(by_record) == 4
    assert {run.info.status for run in runs} == {"FINISHED"}
    for number in range(3):
        run = by_record[f"{name}/{number}"]
        assert run.data.tags["mlflow.parentRunId"] == by_record[name].info.run_id
        points = tracker.client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.step for point in points] == [1, 2]


def ended(record: RunRecord) -> RunRecord:
    """The record of a run that is complete, without checkpoints."""
    return record.ended(COMPLETE, "val_loss", {}, at=1_700_000_100.0)


@pytest.mark.parametrize("fault", ["refuse", "drop", "hold"])
@pytest.mark.parametrize("matches", ["", "runs/create", "log-batch", "runs/update"])
def test_all_arrives_once_when_the_server_is_well_again(
    fault: str, matches: str, proxy: Proxy, store: StageStore
) -> None:
    """Requests are refused, done but not answered, or held; of one kind, or all of them."""
    name = f"{fault}-{matches.replace('/', '-') or 'all'}"
    tracker, delivery = delivery_to(proxy, store, name)
    parent, trials = study(name)
    proxy.fault, proxy.matches = fault, matches
    for record in (parent, *trials, *map(ended, trials), ended(parent)):
        delivery.put(record)
    assert proxy.failed.wait(60)
    assert " waiting since " in delivery.problem
    proxy.fault = ""
    proxy.go.set()
    assert delivery.drain(60) == 0
    assert delivery.problem == delivery.reason == ""
    assert_whole(tracker, name)


def test_all_arrives_again_at_a_server_that_came_back_empty(
    proxy: Proxy, store: StageStore, servers: tuple[str, str]
) -> None:
    """What had arrived before, too, in its order, in an experiment that is made anew."""
    tracker, delivery = delivery_to(proxy, store, "emptied")
    parent, trials = study("emptied")
    delivery.put(parent)
    delivery.put(ended(trials[0]))
    delivery.put(trials[1])
    while delivery.undelivered:
        delivery.is_whole(parent)
    proxy.upstream = servers[1]
    for record in (ended(trials[1]), trials[2], ended(trials[2]), ended(parent)):
        delivery.put(record)
    assert delivery.drain(60) == 0
    assert_whole(tracker, "emptied")


def test_a_server_that_does_not_accept_the_user_is_one_line(
    proxy: Proxy, store: StageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is accepted may stand in variables or in the address."""
    proxy.authorization = "Basic " + base64.b64encode(b"me:secret").decode()
    address = proxy.url.removeprefix("http://")
    with pytest.raises(TrackingError) as caught:
        MlflowTracker(f"http://me:wrong@{address}", "users", "", store)
    assert str(caught.value) == (
        f"MLflow's server http://{address} must accept the user, but does not: set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
    )
    config = SweepConfig(train=TrainConfig(dataset="nowhere.npz", device="cpu"))
    with (
        pytest.raises(TrackingError, match="must accept the user"),  # and not: there are no data
        open_workspace(config, Places(tracking_uri=proxy.url, stages=store.url)),
    ):
        pass
    MlflowTracker(f"http://me:secret@{address}", "users", "", store)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    MlflowTracker(proxy.url, "users", "", store)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    proxy.authorization = "Bearer token"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
    MlflowTracker(proxy.url, "users", "", store)


def test_a_run_that_a_server_made_twice_is_left_once_when_it_ends(
    proxy: Proxy, store: StageStore
) -> None:
    """Its answer was lost; nobody waits for the next start with a run that stays RUNNING."""
    tracker, _ = delivery_to(proxy, store, "twins")
    parent, _ = study("twins")
    tracker.sync(parent)
    tags = {"sweep.run": parent.id, "sweep.group": parent.group}
    tracker.client.create_run(tracker.experiment_id, tags=tags)
    tracker.sync(ended(parent))
    (run,) = search_runs(tracker.client, tracker.experiment_id, "")
    assert (run.info.run_id, run.info.status) == (tracker.run_id(parent.id), "FINISHED")
