import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import Shown, changed

from trainer.data import load
from trainer.errors import StoreError, TrackingError
from trainer.metrics import EpochResult, best
from trainer.runs.fit import fit
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.stages.store import StageStore
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    CheckpointRule,
    RunRecord,
)
from trainer.tracking.tracker import NullTracker
from trainer.training.recipe import Recipe

Small = Callable[..., TrainConfig]
NOWHERE = Path("/nonexistent")
TIMELESS = {"epoch_seconds": 0.0, "images_per_second": 0.0, "ended_at": 0.0, "trained_for": ""}


def raising(error: BaseException, epoch: int) -> Callable[[EpochResult], None]:
    """Something to be called with each epoch, that fails at one."""

    def each_epoch(result: EpochResult) -> None:
        if result.epoch == epoch:
            raise error

    return each_epoch


def test_a_run_is_shown_from_its_start_through_every_epoch_to_its_end(
    small: Small, store: StageStore
) -> None:
    """What `fit` returns is what the tracker was shown last; epochs come in order."""
    shown, seen = Shown(), []
    record = fit(small(limit=20), store, shown, NOWHERE, each_epoch=seen.append)
    assert shown.told() == [(RUNNING, 0), (RUNNING, 1), (RUNNING, 2), (RUNNING, 3), (COMPLETE, 3)]
    assert shown.is_whole(record)
    assert tuple(seen) == record.results
    assert [result.epoch for result in seen] == [1, 2, 3]
    assert record.metrics["best_val_loss"] == min(result.val_loss for result in seen)
    assert record.reused_epochs == 0
    assert record.name == "SGD lr=0.01 step_size=5 gamma=0.1"
    assert record.ended_at is not None
    assert record.started_at <= seen[0].ended_at <= record.ended_at


def test_without_a_tracker_the_numbers_are_the_same(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """Showing a run does not touch it."""
    shown = fit(small(limit=20), store, Shown(), NOWHERE)
    alone = fit(small(limit=20), StageStore(tmp_path / "alone"), NullTracker(), NOWHERE)
    digests = [[result.state_digest for result in record.results] for record in (shown, alone)]
    assert digests[0] == digests[1]
    assert shown.metrics == alone.metrics


def test_a_run_that_was_trained_before_is_reused(small: Small, store: StageStore) -> None:
    """Another run has the same results, says whose they are, and trains only what is missing."""
    first = fit(small(limit=20), store, NullTracker(), NOWHERE)
    again = fit(small(limit=20), store, NullTracker(), NOWHERE)
    assert again.id != first.id
    assert again.results == first.results
    assert again.reused_epochs == 3
    longer = fit(small(limit=20, epochs=4), store, NullTracker(), NOWHERE)
    assert longer.results[:3] == first.results
    assert longer.reused_epochs == 3


class Refusing(Shown):
    """A tracker that fails as often as it is told to, from the second record on."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def sync(self, record: RunRecord) -> None:
        """Take the record, or fail."""
        if self.failures and self.records:
            self.failures -= 1
            raise ConnectionError("http://me:secret@host is gone")
        super().sync(record)


def test_a_tracker_that_fails_stops_no_training(small: Small, store: StageStore) -> None:
    """It is sent all again; where it never takes it, that is an error once all is trained."""
    shown = Refusing(failures=3)
    record = fit(small(limit=20), store, shown, NOWHERE)
    assert shown.told() == [(RUNNING, 0), (COMPLETE, 3)]
    assert shown.is_whole(record)
    seen: list[EpochResult] = []
    with pytest.raises(TrackingError) as caught:
        fit(small(limit=20, lr=0.02), store, Refusing(99), NOWHERE, each_epoch=seen.append)
    assert str(caught.value) == (
        "MLflow did not take the run: http://host is gone. Nothing is lost; the same command "
        "delivers it."
    )
    assert len(seen) == 3


def test_the_states_of_checkpoints_stay_whatever_the_budget(
    small: Small, store: StageStore
) -> None:
    """From the best epoch on its state is kept from eviction; so is the last; others make room."""
    store.budget = 0
    config = small(limit=20, lr=0.05, epochs=4)
    recipe = Recipe(config, load(config.dataset, "test", 20, NOWHERE))
    keys = [stage.key for stage in plan(recipe)]
    results: list[EpochResult] = []

    def each_epoch(result: EpochResult) -> None:
        earlier = best(results, "val_loss").epoch if results else 0
        results.append(result)
        kept = {result.epoch, result.epoch - 1, earlier} - {0}
        assert {path.stem for path in Path(store.url).glob("states/*")} == {keys[n] for n in kept}

    record = fit(config, store, NullTracker(), NOWHERE, each_epoch=each_epoch)
    assert len(results) == 4
    assert sorted(record.checkpoints) == ["checkpoints/best.pt", "checkpoints/last.pt"]
    wanted = {checkpoint.key for checkpoint in record.checkpoints.values()}
    assert {path.stem for path in Path(store.url).glob("states/*")} == wanted


def test_checkpoints_of_a_reused_run_are_trained_again_if_they_must(
    small: Small, store: StageStore
) -> None:
    """Results outlive states, and a run without its checkpoints would not be whole."""
    first = fit(small(limit=20), store, NullTracker(), NOWHERE)
    shutil.rmtree(Path(store.url) / "states")
    rule = CheckpointRule(best=False, last=False, every=1)
    again = fit(small(limit=20), store, NullTracker(), NOWHERE, checkpoints=rule)
    assert again.results == first.results
    assert len(again.checkpoints) == 3
    assert all(store.has_state(checkpoint.key) for checkpoint in again.checkpoints.values())


def test_a_diverged_run_stops_and_has_no_best(small: Small, store: StageStore) -> None:
    """At a rate of a million the first epoch shows it; it is told where, and its state is kept."""
    shown = Shown()
    record = fit(small(limit=20, batch_size=5, lr=1e6), store, shown, NOWHERE)
    assert shown.told() == [(RUNNING, 0), (RUNNING, 1), (DIVERGED, 1)]
    assert not any(name.startswith("best") for name in record.metrics)
    assert record.tags == {"sweep.diverged_epoch": "1", "sweep.diverged_lr": "1e+06"}
    assert list(record.checkpoints) == ["checkpoints/last.pt"]


def test_a_failure_is_shown_with_its_reason_and_goes_on_to_the_caller(
    small: Small, store: StageStore
) -> None:
    """The run ends as failed, with the traceback and the epochs it has; none of its states kept."""
    shown = Shown()
    with pytest.raises(RuntimeError, match="no more paper"):
        fit(
            small(limit=20),
            store,
            shown,
            NOWHERE,
            each_epoch=raising(RuntimeError("no more paper"), 2),
        )
    assert shown.told()[-1] == (FAILED, 2)
    record = shown.records[-1]
    assert record.tags == {"sweep.reason": "RuntimeError: no more paper"}
    assert "each_epoch(result)" in record.files["traceback.txt"]
    assert record.checkpoints == {}
    assert record.metrics == {}


def test_a_store_that_cannot_be_used_is_such_a_failure(small: Small, tmp_path: Path) -> None:
    """Expected errors are shown like bugs, and keep their kind."""
    (tmp_path / "file").write_text("not a folder")
    shown = Shown()
    with pytest.raises(StoreError):
        fit(small(limit=20), StageStore(tmp_path / "file"), shown, NOWHERE)
    assert shown.told() == [(RUNNING, 0), (FAILED, 0)]
    assert shown.records[-1].tags["sweep.reason"].startswith("trainer.errors.StoreError: ")


def test_an_interrupt_is_shown_as_such_and_the_next_start_goes_on_from_there(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """Ctrl-C is no failure, and what was trained until then is not trained again."""
    shown = Shown()
    with pytest.raises(KeyboardInterrupt):
        fit(small(limit=20), store, shown, NOWHERE, each_epoch=raising(KeyboardInterrupt(), 2))
    assert shown.told()[-1] == (INTERRUPTED, 2)
    assert shown.records[-1].tags == {}
    resumed = fit(small(limit=20), store, NullTracker(), NOWHERE)
    assert resumed.reused_epochs == 2
    straight = fit(small(limit=20), StageStore(tmp_path / "straight"), NullTracker(), NOWHERE)
    assert [changed(result, **TIMELESS) for result in resumed.results] == [
        changed(result, **TIMELESS) for result in straight.results
    ]
