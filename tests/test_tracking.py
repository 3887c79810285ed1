import json
import math
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.exceptions import MlflowException
from samples import result

from trainer.errors import LostRuns, TrackingError
from trainer.metrics import EPOCH_METRICS
from trainer.runs.fit import fit
from trainer.settings.config import TrainConfig
from trainer.stages.store import StageStore
from trainer.tracking.connection import (
    connect,
    open_experiment,
    runs_page,
    search_runs,
    without_password,
)
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.past import groups_of, set_aside
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    CheckpointRule,
    RunRecord,
)
from trainer.tracking.tracker import NullTracker, Tracker
from trainer.training.model import build_model

SHARED = "viewStateShareKey"
NOWHERE = Path("/nonexistent")
MakeTracker = Callable[[], MlflowTracker]


@pytest.fixture
def make_tracker(tracking_uri: str, tmp_path: Path, store: StageStore) -> MakeTracker:
    """Makes trackers of one and the same MLflow store, as one process after another would."""
    return lambda: MlflowTracker(tracking_uri, "tests", str(tmp_path / "artifacts"), store)


def running(*results: Any, **changes: Any) -> RunRecord:
    """The record of a run that has these results so far."""
    plain = RunRecord(
        id="run",
        group="run",
        name="a run",
        started_at=1_700_000_000.25,
        params={"lr": "0.1", "momentum": "0.9"},
        tags={"sweep.trial": "7"},
        files={"config.json": "{}", "notes/why.txt": "because"},
        dataset=("cifar10", "ab" * 16),
        results=results,
    )
    return replace(plain, **changes)


def ended(state: str, *results: Any, **changes: Any) -> RunRecord:
    """The record of a run that ended, without checkpoints."""
    error = "Traceback:\nOSError: full\n" if state == FAILED else ""
    return running(*results, **changes).ended(
        state, "val_loss", {}, at=1_700_000_100.75, error=error
    )


def only_run(tracker: MlflowTracker) -> Any:
    """The one run there is, as MLflow gives it."""
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    return run


def history(tracker: MlflowTracker, run_id: str, name: str) -> list[tuple[int, float]]:
    """Step and value of every point of a metric, as MLflow has them."""
    return [(point.step, point.value) for point in tracker.client.get_metric_history(run_id, name)]


def seen(tracker: MlflowTracker) -> dict[str, Any]:
    """All that MLflow shows of the one run there is, but its id."""
    run = only_run(tracker)
    run_id, client = run.info.run_id, tracker.client

    def files(folder: str | None = None) -> list[str]:
        entries = client.list_artifacts(run_id, folder)
        return [
            path for item in entries for path in (files(item.path) if item.is_dir else [item.path])
        ]

    local = Path(run.info.artifact_uri.removeprefix("file://"))
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": {k: v for k, v in run.data.tags.items() if not k.startswith(("mlflow.", "git."))},
        "metrics": {name: history(tracker, run_id, name) for name in run.data.metrics},
        "inputs": [
            (item.dataset.name, item.dataset.digest, [(tag.key, tag.value) for tag in item.tags])
            for item in run.inputs.dataset_inputs
        ],
        "files": {path: (local / path).read_bytes() for path in sorted(files())},
    }


class Cut(Exception):
    """The process is gone, or the connection."""


@dataclass
class CutOff:
    """A client of MLflow's of which only so many calls that write come back.

    The last one is done, but whoever called it does not hear of that.
    """

    client: Any
    calls: int

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name.startswith(("get_", "search_", "list_")):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.calls == 0:
                raise Cut
            self.calls -= 1
            answer = method(*args, **kwargs)
            if self.calls == 0:
                raise Cut
            return answer

        return call


@pytest.fixture(params=["null", "mlflow"])
def tracker(request: pytest.FixtureRequest) -> Tracker:
    """Each kind of tracker."""
    if request.param == "null":
        return NullTracker()
    made: MlflowTracker = request.getfixturevalue("make_tracker")()
    return made


@pytest.mark.parametrize("state", [COMPLETE, PRUNED, DIVERGED, FAILED])
def test_a_tracker_takes_a_run_from_start_to_end_twice_over(tracker: Tracker, state: str) -> None:
    """Each record may come again, and a later one may skip what was between; then it is whole."""
    for record in (running(), running(), running(result(1)), running(result(1), result(2))):
        tracker.sync(record)
    last = ended(state, result(1), result(2), result(3))
    tracker.sync(last)
    assert tracker.is_whole(last)
    tracker.sync(last)
    assert tracker.is_whole(last)


def test_a_run_in_mlflow_has_all_that_its_record_has(make_tracker: MakeTracker) -> None:
    """Parameters, tags, times, data, files, and every epoch's metrics with steps from 1."""
    tracker = make_tracker()
    results = (result(1, val_loss=3.0, trained_for="other"), result(2), result(3, lr=0.005))
    tracker.sync(ended(COMPLETE, *results))
    shown = seen(tracker)
    assert shown["name"] == "a run"
    assert shown["times"] == (1_700_000_000_250, 1_700_000_100_750)
    assert shown["params"] == {"lr": "0.1", "momentum": "0.9"}
    assert shown["inputs"] == [("cifar10", "ab" * 16, [("mlflow.data.context", "training")])]
    assert shown["files"] == {"config.json": b"{}", "notes/why.txt": b"because"}
    assert shown["tags"] == {
        "sweep.run": "run",
        "sweep.group": "run",
        "sweep.trial": "7",
        "sweep.state": "complete",
        "sweep.trained_epochs": "2",
        "sweep.reused_epochs": "1",
    }
    metrics = shown["metrics"]
    for name in EPOCH_METRICS:
        assert metrics.pop(name) == [(item.epoch, item.values[name]) for item in results]
    assert metrics.pop("system/reused") == [(1, 1.0), (2, 0.0), (3, 0.0)]
    assert metrics.pop("system/worker") == [(1, 7.0), (2, 7.0), (3, 7.0)]
    assert metrics.pop("system/ended_at") == [(item.epoch, item.ended_at) for item in results]
    assert {name: [value for _, value in points] for name, points in metrics.items()} == {
        "best_epoch": [2.0],
        "best_val_loss": [2.2],
        "best_val_accuracy": [0.25],
        "best_running_loss": [4.6],
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RUNNING, "RUNNING"),
        (COMPLETE, "FINISHED"),
        (PRUNED, "KILLED"),
        (DIVERGED, "KILLED"),
        (FAILED, "FAILED"),
        (INTERRUPTED, "KILLED"),
    ],
)
def test_each_state_has_its_status_and_its_tag(
    state: str, status: str, make_tracker: MakeTracker
) -> None:
    """As the table in the design has it; only a run that ended has an end."""
    tracker = make_tracker()
    results = (result(1), result(2, lr=0.5))
    tracker.sync(running(*results) if state == RUNNING else ended(state, *results))
    shown = seen(tracker)
    assert (shown["status"], shown["tags"]["sweep.state"]) == (status, state)
    assert (shown["times"][1] is None) == (state == RUNNING)
    has_best = any(name.startswith("best_") for name in shown["metrics"])
    assert has_best == (state in (COMPLETE, PRUNED))
    assert shown["tags"].get("sweep.diverged_lr") == ("0.5" if state == DIVERGED else None)
    assert shown["tags"].get("sweep.reason") == ("OSError: full" if state == FAILED else None)
    assert ("traceback.txt" in shown["files"]) == (state == FAILED)


def test_an_interrupted_run_goes_on_and_ends(make_tracker: MakeTracker) -> None:
    """Interrupted twice, each time taken up by another process: killed, running, ..., finished.

    While it is resumed it still shows when it was interrupted: MLflow takes no end time back.
    """
    statuses = []
    for record in (
        running(result(1)).ended(INTERRUPTED, "val_loss", {}, at=1_700_000_050.0),
        running(result(1)),
        running(result(1), result(2)).ended(INTERRUPTED, "val_loss", {}, at=1_700_000_070.0),
        running(result(1), result(2)),
        ended(COMPLETE, result(1), result(2), result(3)),
    ):
        tracker = make_tracker()
        assert not tracker.is_whole(record)
        tracker.sync(record)
        shown = seen(tracker)
        statuses.append(shown["status"])
        assert [step for step, _ in shown["metrics"]["val_loss"]] == [
            item.epoch for item in record.results
        ]
    assert statuses == ["KILLED", "RUNNING", "KILLED", "RUNNING", "FINISHED"]
    assert shown["tags"]["sweep.state"] == "complete"
    assert shown["times"] == (1_700_000_000_250, 1_700_000_100_750)


def test_an_interruption_that_only_reached_the_end_is_still_sent(
    make_tracker: MakeTracker,
) -> None:
    """Where nothing between two interruptions was delivered, its epochs are not left out."""
    make_tracker().sync(ended(INTERRUPTED, result(1)))
    tracker = make_tracker()
    tracker.sync(ended(INTERRUPTED, result(1), result(2)))
    assert [step for step, _ in seen(tracker)["metrics"]["val_loss"]] == [1, 2]


def test_a_run_that_ended_again_with_other_tags_is_not_whole(make_tracker: MakeTracker) -> None:
    """A study that was extended ends a second time, and shows what it has then."""
    make_tracker().sync(ended(COMPLETE, tags={"sweep.trials": "10"}))
    tracker, longer = make_tracker(), ended(COMPLETE, tags={"sweep.trials": "20"})
    assert not tracker.is_whole(longer)
    tracker.sync(longer)
    assert tracker.is_whole(longer)
    assert seen(tracker)["tags"]["sweep.trials"] == "20"


@pytest.mark.parametrize("same", [True, False], ids=["the same tracker", "the next start"])
def test_wherever_a_delivery_is_cut_off_the_next_completes_it(
    same: bool, make_tracker: MakeTracker
) -> None:
    """After each call MLflow took, the process may end: nothing is missing, nothing is twice."""
    record = ended(COMPLETE, result(1), result(2), result(3))
    reference = make_tracker()
    reference.sync(record)
    expected = seen(reference)
    reference.client.delete_run(reference.run_id("run"))

    calls = 0
    while True:
        tracker = make_tracker()
        client = tracker.client
        tracker.client = CutOff(client, calls)
        try:
            tracker.sync(record)
        except Cut:
            pass
        else:
            break
        finally:
            tracker.client = client
        again = tracker if same else make_tracker()
        again.sync(record)
        assert seen(again) == expected, f"cut off after {calls} calls"
        assert again.is_whole(record)
        again.client.delete_run(again.run_id("run"))
        calls += 1
    assert calls >= 6


def test_a_run_that_was_deleted_while_it_went_on_is_made_anew(make_tracker: MakeTracker) -> None:
    """With all it had, once it was said that it is gone."""
    tracker = make_tracker()
    tracker.sync(running(result(1)))
    tracker.client.delete_run(tracker.run_id("run"))
    whole = ended(COMPLETE, result(1), result(2))
    with pytest.raises(MlflowException):
        tracker.sync(whole)
    with pytest.raises(LostRuns, match="no longer has the run 'a run'"):
        tracker.sync(whole)
    tracker.sync(whole)
    got = seen(tracker)
    assert tracker.is_whole(whole)
    tracker.client.delete_run(tracker.run_id("run"))
    reference = make_tracker()
    reference.sync(whole)
    assert got == seen(reference)


def test_of_two_runs_of_one_record_the_next_start_leaves_the_fuller(
    make_tracker: MakeTracker,
) -> None:
    """A server whose answer is lost has made a run, and is asked for it again."""
    tracker = make_tracker()
    twin = tracker.client.create_run(
        tracker.experiment_id, tags={"sweep.run": "run", "sweep.group": "run"}
    )
    going = running(result(1), result(2))
    tracker._groups.add("run")  # it was read before the twin came to be
    tracker.sync(going)
    again = make_tracker()
    again.sync(ended(COMPLETE, result(1), result(2), result(3)))
    assert again.run_id("run") == tracker.run_id("run") != twin.info.run_id
    assert only_run(again).info.status == "FINISHED"


def test_runs_go_below_a_parent_that_was_deleted_and_made_anew(make_tracker: MakeTracker) -> None:
    """The next start finds those that ended before not whole."""
    tracker = make_tracker()
    parent = running(id="study", params={})
    child = ended(COMPLETE, result(1), parent="study")
    for record in (parent, child):
        tracker.sync(record)
    tracker.client.delete_run(tracker.run_id("study"))
    again = make_tracker()
    again.sync(parent)
    assert not again.is_whole(child)
    again.sync(child)
    assert again.is_whole(child)
    tags = again.client.get_run(again.run_id("run")).data.tags
    assert tags["mlflow.parentRunId"] == again.run_id("study")


def test_a_long_run_is_delivered_in_one_go(make_tracker: MakeTracker) -> None:
    """MLflow takes a thousand numbers a call; a run of 150 epochs has more."""
    tracker = make_tracker()
    tracker.sync(ended(COMPLETE, *(result(epoch) for epoch in range(1, 151))))
    shown = seen(tracker)["metrics"]
    for name in EPOCH_METRICS:
        assert [step for step, _ in shown[name]] == list(range(1, 151))


def test_numbers_that_are_none_are_shown_as_such(make_tracker: MakeTracker) -> None:
    """The epoch in which a run diverged is there to be seen."""
    tracker = make_tracker()
    tracker.sync(ended(DIVERGED, result(1, train_loss=math.nan, val_loss=math.inf)))
    metrics = seen(tracker)["metrics"]
    ((_, train_loss),), ((_, val_loss),) = metrics["train_loss"], metrics["val_loss"]
    assert math.isnan(train_loss)
    assert val_loss > 1e300  # a database has no infinity; MLflow writes the largest number


def test_trials_are_shown_under_their_study(make_tracker: MakeTracker) -> None:
    """MLflow nests a run whose tag names its parent; the next start finds both by their group."""
    parent = running(id="study", group="study", params={}, dataset=None, files={})
    child = running(result(1), id="study/0", group="study", parent="study")
    tracker = make_tracker()
    tracker.sync(parent)
    tracker.sync(child)
    again = make_tracker()
    again.sync(running(result(1), result(2), id="study/0", group="study", parent="study"))
    runs = {run.data.tags["sweep.run"]: run for run in search_runs(again.client, "1", "")}
    assert len(runs) == 2
    assert runs["study/0"].data.tags["mlflow.parentRunId"] == runs["study"].info.run_id
    assert history(again, runs["study/0"].info.run_id, "lr") == [(1, 0.01), (2, 0.01)]


def test_wherever_setting_a_study_aside_is_cut_off_it_is_found_and_done_again(
    make_tracker: MakeTracker,
) -> None:
    """All runs of its group get its new name, none of them is left as running, and no others."""
    tracker = make_tracker()
    client = tracker.client
    calls = 0
    while True:
        group, other = f"a{calls}", f"b{calls}"
        for id in (group, other):
            tags = {"sweep.study": "mine", "sweep.trials": "7"}
            tracker.sync(running(id=id, group=id, tags=tags))
        done = ended(COMPLETE, id=f"{group}/0", group=group, tags={"sweep.study": "mine"})
        tracker.sync(done)
        tracker.sync(replace(done, id=f"{group}/1", state=RUNNING, ended_at=None))
        try:
            set_aside(CutOff(client, calls), tracker.experiment_id, group, "old")  # type: ignore[arg-type]
        except Cut:
            whole = False
            for found in groups_of(client, tracker.experiment_id, "mine") & {group}:
                set_aside(client, tracker.experiment_id, found, "old")
        else:
            whole = True
        assert group not in groups_of(client, tracker.experiment_id, "mine")
        shown = {
            run.data.tags["sweep.run"]: (run.data.tags["sweep.study"], run.info.status)
            for run in search_runs(client, tracker.experiment_id, "")
        }
        assert shown[group] == shown[f"{group}/1"] == ("old", "KILLED")
        assert shown[f"{group}/0"] == ("old", "FINISHED")
        assert shown[other] == ("mine", "RUNNING")
        calls += 1
        if whole:
            break
    assert calls > 4


def test_a_single_value_that_did_not_change_is_logged_once(make_tracker: MakeTracker) -> None:
    """A run that ends a second time, later, has no second point of the same value."""
    first = running(id="s", metrics={"best_val_loss": 2.0, "best_x": math.inf})
    make_tracker().sync(first.ended(INTERRUPTED, "val_loss", {}, at=1_700_000_050.0))
    tracker = make_tracker()
    tracker.sync(first.ended(INTERRUPTED, "val_loss", {}, at=1_700_000_060.0))
    better = replace(first, metrics={"best_val_loss": 1.0, "best_x": math.inf})
    tracker.sync(better.ended(COMPLETE, "val_loss", {}, at=1_700_000_070.0))
    run = only_run(tracker)
    points = {
        name: [value for _, value in history(tracker, run.info.run_id, name)]
        for name in run.data.metrics
    }
    assert points["best_val_loss"] == [2.0, 1.0]
    assert len(points["best_x"]) == 1


def test_a_run_that_was_left_on_its_way_is_found_by_its_group(make_tracker: MakeTracker) -> None:
    """Killed or interrupted; one that ended in another way is not."""
    tracker = make_tracker()
    assert tracker.unfinished("run") is None
    for record, found in (
        (running(result(1)), "run"),
        (ended(INTERRUPTED, result(1)), "run"),
        (ended(COMPLETE, result(1)), None),
    ):
        tracker.sync(record)
        assert make_tracker().unfinished("run") == found


def test_a_trained_run_can_be_taken_up_from_what_mlflow_has(
    small: Callable[..., TrainConfig], store: StageStore, make_tracker: MakeTracker
) -> None:
    """Config and checkpoints come back from its artifacts, loaded without running any code."""
    config = small(optimizer="Adam", optimizer_args={"betas": [0.8, 0.9]}, lr=0.001, limit=20)
    tracker = make_tracker()
    rule = CheckpointRule(every=2)
    record = fit(config, store, tracker, NOWHERE, checkpoints=rule)
    run = tracker.client.get_run(tracker.run_id(record.id))
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert TrainConfig.from_json((folder / "config.json").read_text()) == config
    assert run.data.params["betas"] == "[0.8, 0.9]"
    assert run.inputs.dataset_inputs[0].dataset.digest == record.dataset[1]  # type: ignore[index]

    load = {"weights_only": True, "map_location": "cpu"}
    model = build_model("tutorial", {}, 1, 10, 3)
    best = torch.load(folder / "checkpoints" / "best.pt", **load)
    model.load_state_dict(best)
    last = torch.load(folder / "checkpoints" / "last.pt", **load)
    assert sorted(last) == ["epoch", "model", "optimizer"]
    assert last["epoch"] == 3
    torch.optim.Adam(model.parameters()).load_state_dict(last["optimizer"])
    second = torch.load(folder / "checkpoints" / "epoch-0002.pt", **load)
    assert second["epoch"] == 2
    epochs = {2: second["model"], 3: last["model"]}
    if (best_epoch := record.metrics["best_epoch"]) in epochs:
        for name, weight in epochs[int(best_epoch)].items():
            assert torch.equal(best[name], weight)


def test_a_checkpoint_whose_state_is_gone_is_an_error_and_the_run_not_whole(
    small: Callable[..., TrainConfig], store: StageStore, make_tracker: MakeTracker
) -> None:
    """A run is never shown as finished without what it was to keep."""
    record = fit(small(limit=20), store, NullTracker(), NOWHERE)
    store.budget = 0
    store.evict(keep=())
    tracker = make_tracker()
    with pytest.raises(TrackingError, match=r"state of epoch \d is no longer stored"):
        tracker.sync(record)
    assert not tracker.is_whole(record)
    assert only_run(tracker).info.status == "RUNNING"


def test_a_new_experiment_keeps_its_artifacts_where_it_is_told(
    make_tracker: MakeTracker, tmp_path: Path
) -> None:
    """Not where the process happened to be started; a second tracker finds the same experiment."""
    one, two = make_tracker(), make_tracker()
    assert one.experiment_id == two.experiment_id
    experiment = one.client.get_experiment(one.experiment_id)
    assert experiment.artifact_location.removeprefix("file://") == str(tmp_path / "artifacts")


def test_an_experiment_that_a_server_made_is_refused(
    tracking_uri: str, make_tracker: MakeTracker
) -> None:
    """Its artifacts can only be reached through that server."""
    connect(tracking_uri).create_experiment("tests", "mlflow-artifacts:/1")
    with pytest.raises(TrackingError, match=r"'tests' was made through a server.*set MLFLOW_TRACK"):
        make_tracker()


def test_the_page_of_an_experiment_shows_optimizer_and_rate(make_tracker: MakeTracker) -> None:
    """As columns of a view that the address names; an experiment of before gets it, too."""
    tracker = make_tracker()
    assert tracker.page.endswith(f"/#/experiments/{tracker.experiment_id}/runs?{SHARED}=sweeps")
    before = "older"
    tracker.client.create_experiment(before)
    open_experiment(tracker.client, "sqlite:///mlflow.db", before, "")
    for name in ("tests", before):
        tags = tracker.client.get_experiment_by_name(name).tags
        view = json.loads(tags["mlflow.sharedViewState.sweeps"])
        assert {"params.`optimizer`", "params.`lr`"} <= set(view["selectedColumns"])
    assert runs_page("http://me:secret@host:5000/", "7").startswith("http://host:5000/#/")


def test_a_folder_that_was_moved_is_told_before_files_go_astray(
    tmp_path: Path, empty_database: Path, store: StageStore
) -> None:
    """MLflow would make the old folder again and put files there."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copy(empty_database, old)

    def start(folder: Path) -> MlflowTracker:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        return MlflowTracker(uri, "tests", str(folder / "mlruns" / "tests"), store)

    start(old)
    start(old)
    old.rename(new)
    with pytest.raises(TrackingError, match="was it moved"):
        start(new)
    assert not old.exists()
    old.symlink_to(new)
    start(new)


def begin(folder: Path, barrier: Barrier) -> None:
    """Begin as the others do."""
    barrier.wait()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowTracker(uri, "tests", str(folder / "tests"), StageStore(folder / "stages"))


@pytest.mark.slow
def test_processes_that_begin_at_once_in_an_empty_folder_all_can(tmp_path: Path) -> None:
    """One of them makes MLflow's tables, and one the experiment."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=begin, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_deleted_experiment_is_refused_with_the_way_back(make_tracker: MakeTracker) -> None:
    """MLflow would neither use it nor let another have its name."""
    tracker = make_tracker()
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError) as caught:
        make_tracker()
    assert str(caught.value) == (
        "MLflow's experiment 'tests' must be active, but it was deleted; bring it back with: "
        f"mlflow experiments restore --experiment-id {tracker.experiment_id}"
    )


@pytest.mark.parametrize(
    "uri", ["nosuch://store", "sqlite:////dev/null/no/mlflow.db", "mysql://me:secret@h/db"]
)
def test_a_store_that_cannot_be_used_is_an_error_in_one_line(
    uri: str, store: StageStore, tmp_path: Path
) -> None:
    """Whatever MLflow, a database or its driver says to it; a password is not shown."""
    with pytest.raises(TrackingError) as caught:
        MlflowTracker(uri, "tests", str(tmp_path), store)
    message = str(caught.value)
    assert message.startswith(f"MLflow's store {without_password(uri)} cannot be used: ")
    assert "\n" not in message
    assert "secret" not in message


def test_a_database_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    """A folder in place of the file, or a driver that is not installed; without the password."""
    with pytest.raises(TrackingError, match="must be a file, but is a folder"):
        connect(f"sqlite:///{tmp_path}")
    with pytest.raises(TrackingError, match=r"//host/x cannot be used: No module named .*MySQL"):
        connect("mysql://me:secret@host/x")


def test_a_server_that_does_not_answer_is_an_error_at_once() -> None:
    """MLflow's own client would retry for minutes; a password is not shown here either."""
    with pytest.raises(TrackingError, match=r"server http://127\.0\.0\.1:9/ must answer, but does"):
        connect("http://me:secret@127.0.0.1:9/")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://host:5432/db"),
        ("https://token@host/path", "https://host/path"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_what_is_shown_of_a_uri_has_no_password(uri: str, shown: str) -> None:
    """Only what stands before the host is left out."""
    assert without_password(uri) == shown


def test_a_run_says_which_commit_it_was_made_from(
    make_tracker: MakeTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whether the folder was changed since; outside of any repository it says nothing."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def git_tags(id: str) -> dict[str, str]:
        tracker = make_tracker()
        tracker.sync(running(id=id, group=id))
        tags = tracker.client.get_run(tracker.run_id(id)).data.tags
        return {name: text for name, text in tags.items() if "git" in name}

    def git(*words: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@here")
        return subprocess.check_output(["git", *who, *words], text=True).strip()

    assert git_tags("outside") == {}
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    commit = git("rev-parse", "HEAD")
    assert git_tags("clean") == {"mlflow.source.git.commit": commit, "git.dirty": "false"}
    (folder / "new").touch()
    assert git_tags("dirty") == {"mlflow.source.git.commit": commit, "git.dirty": "true"}


def test_a_run_says_who_started_it_and_by_which_program(
    make_tracker: MakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow shows both in its table."""
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setattr("sys.argv", ["/home/me/sweeps/run.py", "--trials", "3"])
    tracker = make_tracker()
    tracker.sync(running())
    run = tracker.client.get_run(tracker.run_id("run"))
    assert run.info.user_id == run.data.tags["mlflow.user"] == "somebody"
    assert run.data.tags["mlflow.source.name"] == "/home/me/sweeps/run.py"


class Pages:
    """A client whose runs come in pages."""

    def search_runs(self, ids: list[str], query: str, max_results: int, page_token: Any) -> Any:
        """Page 0, 1 or 2 of two runs each, and the token of the next."""
        number = int(page_token or 0)

        class Page(list[str]):
            token = str(number + 1) if number < 2 else None

        return Page([f"run {2 * number}", f"run {2 * number + 1}"])


def test_a_search_gives_the_runs_of_every_page() -> None:
    """A study of ten thousand trials is found whole."""
    found = list(search_runs(Pages(), "1", ""))  # type: ignore[arg-type]
    assert found == [f"run {number}" for number in range(6)]
