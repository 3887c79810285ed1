"""What is put is delivered: the latest record of each run, in order, however often it takes."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.engine.delivery import Delivery
from trainer.errors import LostRuns, LostState
from trainer.stages.store import StageStore
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.record import COMPLETE, Checkpoint, RunRecord


class FakeTracker:
    """Keeps what it is sent; fails as often, and holds still as long, as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[RunRecord] = []
        self.failures = failures
        self.may_go = threading.Event()
        self.may_go.set()
        self.reached = threading.Event()

    def sync(self, record: RunRecord) -> None:
        """Take the record, or fail."""
        self.reached.set()
        self.may_go.wait(60)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("nobody there")
        self.sent.append(record)

    def is_whole(self, record: RunRecord) -> bool:
        """Whether it was sent."""
        return record in self.sent


def record(id: str, name: str = "") -> RunRecord:
    """A record."""
    return RunRecord(id=id, group="g", name=name, started_at=0.0)


@pytest.fixture
def held() -> Iterator[tuple[FakeTracker, Delivery]]:
    """A delivery whose tracker holds its first record until `may_go` is set."""
    tracker = FakeTracker()
    tracker.may_go.clear()
    delivery = Delivery(tracker)
    delivery.put(record("first"))
    assert tracker.reached.wait(60)
    yield tracker, delivery
    tracker.may_go.set()
    delivery.drain(60)


def test_a_record_that_is_held_goes_before_the_next_one() -> None:
    """And nowhere where none follows."""
    tracker = FakeTracker()
    delivery = Delivery(tracker)
    delivery.hold(record("parent"))
    assert not delivery.is_used
    delivery.put(record("child"))
    delivery.hold(record("nobody's"))
    assert delivery.drain(60) == 0
    assert [item.id for item in tracker.sent] == ["parent", "child"]


def test_all_is_delivered_in_the_order_it_came() -> None:
    """Nothing is left behind, and parents stay before their children."""
    tracker = FakeTracker()
    delivery = Delivery(tracker)
    records = [record(str(number)) for number in range(20)]
    for item in records:
        delivery.put(item)
    assert delivery.drain(60) == 0
    assert tracker.sent == records


def test_the_latest_record_of_a_run_takes_the_place_of_earlier_ones(
    held: tuple[FakeTracker, Delivery],
) -> None:
    """A slow tracker is sent where each run stands now, not how it came there."""
    tracker, delivery = held
    for item in (record("a", "old"), record("b"), record("a", "new")):
        delivery.put(item)
    tracker.may_go.set()
    assert delivery.drain(60) == 0
    assert tracker.sent == [record("first"), record("a", "new"), record("b")]


def test_what_is_refused_is_sent_again() -> None:
    """A failure is shown while it lasts, and passes."""
    tracker = FakeTracker(failures=1)
    delivery = Delivery(tracker)
    delivery.put(record("a"))
    delivery.put(record("b"))
    assert delivery.drain(60) == 0
    assert tracker.sent == [record("b"), record("a")]
    assert delivery.reason == ""


class Refusing(FakeTracker):
    """Never takes some records."""

    def __init__(self, ids: str, error: Exception) -> None:
        super().__init__()
        self.ids, self.error = ids, error

    def sync(self, record: RunRecord) -> None:
        """Take the record, or not."""
        if record.id in self.ids:
            raise self.error
        super().sync(record)


def test_a_record_that_is_never_taken_keeps_only_those_below_it() -> None:
    """All others are delivered, and its reason stays to be read."""
    tracker = Refusing("a", ConnectionError("deleted"))
    delivery = Delivery(tracker)
    child = replace(record("child"), parent="a")
    for item in (record("a"), child, record("b"), record("c")):
        delivery.put(item)
    assert delivery.drain(0.5) == 2
    assert tracker.sent == [record("b"), record("c")]
    assert delivery.reason == "ConnectionError: deleted"


def test_a_checkpoint_whose_state_is_lost_is_left_at_once() -> None:
    """Nobody waits for what only training brings back; a new record of the run is sent."""
    tracker = Refusing("a", LostState("The state of epoch 3 is no longer stored."))
    delivery = Delivery(tracker)
    delivery.put(record("a"))
    delivery.put(record("b"))
    assert delivery.drain(600) == 1
    assert delivery.reason == "LostState: The state of epoch 3 is no longer stored."


class Emptied(FakeTracker):
    """Loses all it has before it is sent one record."""

    def __init__(self, before: str) -> None:
        super().__init__()
        self.before = before

    def sync(self, record: RunRecord) -> None:
        """Take the record, or notice the loss, once."""
        if record.id == self.before:
            self.sent, self.before = [], ""
            raise LostRuns("empty")
        super().sync(record)


def test_all_is_delivered_again_to_a_tracker_that_lost_runs() -> None:
    """In the order it came, and its latest record of each."""
    tracker = Emptied(before="c")
    delivery = Delivery(tracker)
    for item in (record("a"), record("b"), record("a", "new"), record("c")):
        delivery.put(item)
    assert delivery.drain(60) == 0
    assert [(item.id, item.name) for item in tracker.sent] == [("a", "new"), ("b", ""), ("c", "")]
    assert delivery.problem == ""


def test_people_are_told_since_when_how_many_runs_wait(
    held: tuple[FakeTracker, Delivery],
) -> None:
    """Of a tracker that gives no answer at all, too, and until nothing waits any more."""
    tracker, _ = held
    delivery = Delivery(tracker, quiet_seconds=0.0)
    assert delivery.problem == ""
    for item in (record("a", "old"), record("a", "new"), record("b")):
        delivery.put(item)
    assert re.fullmatch(
        r"2 runs waiting since \d\d:\d\d:\d\d: it is slow, or does not answer", delivery.problem
    )
    patient = Delivery(tracker)
    patient.put(record("c"))
    assert patient.problem == ""
    tracker.may_go.set()
    assert delivery.drain(60) == patient.drain(60) == 0
    assert delivery.problem == ""


def test_a_drain_waits_as_long_as_runs_are_delivered() -> None:
    """Its time is that since the last one; meanwhile it says how much of that is left."""
    tracker = Slow()
    delivery = Delivery(tracker)
    for number in range(4):
        delivery.put(record(str(number)))
    told: list[float] = []

    def waiting(left: float) -> None:
        told.append(left)
        tracker.turns.release()

    assert delivery.drain(3.0, waiting) == 0
    assert len(told) == 4
    assert all(1.0 < left <= 3.0 for left in told)


class Slow(FakeTracker):
    """Takes one record a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = threading.Semaphore(0)

    def sync(self, record: RunRecord) -> None:
        """Take the record when it is its turn."""
        self.turns.acquire()
        super().sync(record)


def test_a_damaged_checkpoint_keeps_no_other_run_from_being_delivered(
    store: StageStore, tracking_uri: str, tmp_path: Path
) -> None:
    """Nobody waits for it: a later start trains it again, and MLflow shows its run as not ended."""
    for key in ("good", "bad"):
        store.put_state(key, {"model": {}})
    (damaged,) = Path(store.url).rglob("bad*")
    damaged.write_bytes(b"something else")
    tracker = MlflowTracker(tracking_uri, "tests", str(tmp_path / "artifacts"), store)
    delivery = Delivery(tracker)
    for key in ("bad", "good"):
        wanted = {"checkpoints/last.pt": Checkpoint(1, key, weights_only=False)}
        delivery.put(record(key).ended(COMPLETE, "val_loss", wanted))
    assert delivery.drain(600) == 1
    assert delivery.reason == "LostState: The state of epoch 1 is no longer stored."
    assert not damaged.exists()
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert {run.data.tags["sweep.run"]: run.info.status for run in runs} == {
        "bad": "RUNNING",
        "good": "FINISHED",
    }


def test_a_drain_whose_time_is_up_says_how_many_are_left() -> None:
    """Nobody waits for ever for a tracker that is gone; the reason is kept."""
    delivery = Delivery(FakeTracker(failures=10**9))
    delivery.put(record("a"))
    delivery.put(record("b"))
    assert delivery.drain(0.2) == 2
    assert delivery.reason == "ConnectionError: nobody there"


def test_states_of_undelivered_checkpoints_are_known(
    held: tuple[FakeTracker, Delivery],
) -> None:
    """They must not be evicted until they were sent."""
    tracker, delivery = held
    checkpoints = {"checkpoints/last.pt": Checkpoint(1, "key", weights_only=False)}
    delivery.put(RunRecord(id="a", group="g", name="", started_at=0, checkpoints=checkpoints))
    assert delivery.state_keys() == {"key"}
    tracker.may_go.set()
    assert delivery.drain(60) == 0
    assert delivery.state_keys() == set()
