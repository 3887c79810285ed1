"""The coordinator with executors that fail in every way a worker or a user's code can."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from samples import npz

from sweeps.engine.coordinator import Coordinator
from sweeps.engine.delivery import Delivery
from sweeps.engine.executors import WorkerLost
from sweeps.engine.flights import TRIES
from sweeps.engine.progress import Progress
from sweeps.engine.workspace import Workspace
from sweeps.errors import SweepError
from sweeps.search.optuna_private import is_enqueued
from sweeps.settings.config import SweepConfig
from sweeps.study.journal import journal_storage
from sweeps.study.opening import OpenStudy, open_study
from sweeps.study.trial import REASON, outcome_of
from sweeps.study.trials import Trials
from trainer.data import load
from trainer.errors import ConfigError, DataError
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.stages.plan import Plan, Planner
from trainer.stages.store import StageStore
from trainer.tracking.names import TRIAL_TAG
from trainer.tracking.record import FAILED, RunRecord


class Shown:
    """A tracker and a view that keep what they are shown."""

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}
        self.progress: list[Progress] = []
        self.lines: list[str] = []

    def sync(self, record: RunRecord) -> None:
        """Keep the record."""
        self.records[record.id] = record

    def is_whole(self, record: RunRecord) -> bool:
        """Whether the record is what is kept, at its end."""
        return record.ended_at is not None and self.records.get(record.id) == record

    def show(self, progress: Progress) -> None:
        """Keep the progress."""
        self.progress.append(progress)

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)


@dataclass
class FaultyExecutor:
    """Does what it is given in a thread, one after the other, or fails as `fault` says.

    Attributes:
        slots: how many may be submitted at once.
        fault: the error for a config and an epoch, or None.
        submitted: what was submitted, by its result key, in order.
    """

    slots: int = 1
    fault: Callable[[TrainConfig, int], Exception | None] = lambda config, epoch: None
    submitted: list[str] = field(default_factory=list)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Do it when those before it are done."""
        assert isinstance(fn, partial)
        self.submitted.append(fn.keywords["expect"])
        return self._thread.submit(self._do, fn)

    def stop(self) -> None:
        """Wait for what was submitted."""
        self._thread.shutdown()

    def _do(self, work: partial[Any]) -> Any:
        error = self.fault(work.args[0], work.args[1])
        if error is not None:
            raise error
        return work()


@dataclass
class Bench:
    """A study on a bench: run it with an executor, as often as you like."""

    config: SweepConfig
    paths: Paths
    store: StageStore

    def open(self) -> OpenStudy:
        """The study as a new process finds it."""
        return open_study(self.config, self.paths)

    def run(
        self, executor: FaultyExecutor, shown: Shown | None = None, plan: Planner | None = None
    ) -> tuple[bool, Shown]:
        """Run it; whether it got all its trials, and what was shown."""
        shown = shown or Shown()
        train = self.config.train
        data = load(train.dataset, train.split, train.limit, self.paths.data)
        study = self.open()
        delivery = Delivery(shown)
        trials = Trials(self.config, study, data, plan=plan)
        work = Workspace(
            data=data,
            folder=self.paths.data,
            store=self.store,
            executor=executor,
            tracker=shown,
            delivery=delivery,
        )
        coordinator = Coordinator(self.config, study, trials, work, shown)
        coordinator.resume()
        try:
            return coordinator.run(), shown
        finally:
            executor.stop()
            assert delivery.drain(60) == 0
            self.store.release()
            study.lease.release()

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """What Optuna has."""
        return self.open().optuna.get_trials()


@pytest.fixture
def bench(tmp_path: Path, sample: Path, store: StageStore) -> Iterator[Callable[..., Bench]]:
    """Makes a study of four trials of two epochs, with changes."""

    def make(**changes: Any) -> Bench:
        train = TrainConfig(dataset=str(sample), limit=20, batch_size=10, epochs=2, device="cpu")
        config = SweepConfig(**{"train": train, "trials": 4, "study": "s", **changes})
        return Bench(config, Paths(tmp_path), store)

    return make


def regression(folder: Path) -> TrainConfig:
    """Two epochs of a network that is to give two numbers for an image."""
    targets = {"train_labels": np.ones((40, 2)), "test_labels": np.ones((20, 2))}
    return TrainConfig(
        dataset=npz(folder / "targets.npz", **targets),
        model="brought:flat",
        loss="torch.nn.functional:mse_loss",
        epochs=2,
        device="cpu",
    )


def times(count: int, error: Exception) -> Callable[[TrainConfig, int], Exception | None]:
    """A fault that comes so often and then no more."""
    left = [error] * count
    return lambda config, epoch: left.pop() if left else None


def test_a_stage_whose_worker_died_is_trained_again(bench: Callable[..., Bench]) -> None:
    """Fewer deaths than tries cost nothing but time, and are said."""
    made = bench()
    done, shown = made.run(FaultyExecutor(fault=times(TRIES - 1, WorkerLost("died"))))
    assert done
    assert all(trial.state != TrialState.FAIL for trial in made.trials())
    assert sum("trained again" in line for line in shown.lines) == TRIES - 1


def test_a_pool_that_broke_is_no_fault_of_the_stages_in_it(bench: Callable[..., Bench]) -> None:
    """However often that was; only the death of its own worker counts against a stage."""
    made = bench(trials=2)
    broke = times(TRIES + 2, WorkerLost("broke", is_own=False))
    assert made.run(FaultyExecutor(fault=broke))[0]
    assert all(trial.state != TrialState.FAIL for trial in made.trials())


@pytest.mark.parametrize("slots", [1, 4])
def test_where_no_worker_lives_the_sweep_ends_and_no_trial_fails(
    slots: int, bench: Callable[..., Bench]
) -> None:
    """The fault is the machine's; the same command continues every trial."""
    made = bench(trials=12)
    with pytest.raises(SweepError, match="died one after another"):
        made.run(FaultyExecutor(slots=slots, fault=lambda config, epoch: WorkerLost("no GPU")))
    assert {trial.state for trial in made.trials()} == {TrialState.RUNNING}
    assert made.run(FaultyExecutor())[0]
    assert {trial.state for trial in made.trials()} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_stage_that_kills_its_workers_fails_its_trial_and_no_other(
    bench: Callable[..., Bench],
) -> None:
    """After its tries the trial has failed, with the reason, and the sweep continues."""
    made = bench()
    executor = FaultyExecutor(fault=times(TRIES, WorkerLost("died")))
    done, shown = made.run(executor)
    assert done
    first, *others = made.trials()
    assert first.state == TrialState.FAIL
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in others)
    assert len(set(executor.submitted[:TRIES])) == 1
    (failed,) = [record for record in shown.records.values() if record.state == "failed"]
    assert "workers died" in failed.tags["sweep.reason"]


def test_the_only_trial_that_is_left_fails_where_it_kills_its_workers(
    bench: Callable[..., Bench],
) -> None:
    """No other stage can show that workers live, so one more start would end no better."""
    made = bench(trials=1)
    done, _ = made.run(FaultyExecutor(fault=lambda config, epoch: WorkerLost("died")))
    assert done
    assert [trial.state for trial in made.trials()] == [TrialState.FAIL]


def refusing(config: TrainConfig, val_losses: Sequence[float] = ()) -> Plan:
    """Find no stages, as where user code has become faulty."""
    raise ConfigError("it ended its process")


def test_trials_that_can_no_longer_be_planned_fail_when_they_are_resumed(
    bench: Callable[..., Bench],
) -> None:
    """With the reason, whatever an earlier start granted them."""
    made = bench()
    second = FaultyExecutor(fault=lambda _, epoch: DataError("gone") if epoch > 1 else None)
    with pytest.raises(DataError):
        made.run(second)
    assert TrialState.RUNNING in {trial.state for trial in made.trials()}
    done, shown = made.run(FaultyExecutor(), plan=refusing)
    assert done
    assert {trial.state for trial in made.trials()} == {TrialState.FAIL}
    assert {trial.user_attrs[REASON] for trial in made.trials()} == {"it ended its process"}
    assert {record.state for record in shown.records.values()} == {FAILED}


def test_finished_trials_that_can_no_longer_be_planned_keep_their_runs(
    bench: Callable[..., Bench],
) -> None:
    """What MLflow has is not replaced by less, which is said; the study stays complete."""
    made = bench(trials=2)
    assert made.run(FaultyExecutor())[0]
    states = [trial.state for trial in made.trials()]
    done, shown = made.run(FaultyExecutor(), plan=refusing)
    assert done
    assert not shown.records
    assert [trial.state for trial in made.trials()] == states
    assert shown.lines == [
        f"The run of trial {number} cannot be delivered again: it ended its process"
        for number in range(2)
    ]


def test_a_finished_trial_whose_lost_epochs_cannot_be_trained_again_is_delivered(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Without them, which is said; the sweep ends."""
    made = bench(trials=2)
    assert made.run(FaultyExecutor())[0]
    made.store = StageStore(tmp_path / "empty")
    done, shown = made.run(FaultyExecutor(fault=lambda config, epoch: ValueError("no more")))
    assert done
    assert len(shown.records) == 2
    lost = [it for it in shown.lines if "cannot be made again: ValueError: no more" in it]
    assert lost == [
        f"The results of trial {number} cannot be made again: ValueError: no more"
        for number in range(2)
    ]


class Forgetful(StageStore):
    """A store that shows nothing of what was put there."""

    def put_result(self, key: str, result: EpochResult) -> None:
        """Lose it."""

    def put_state(self, key: str, state: dict[str, Any]) -> None:
        """Lose it."""


def test_a_store_that_does_not_show_what_was_put_there_blocks_nothing(
    bench: Callable[..., Bench], store: StageStore
) -> None:
    """Results come from the workers, and a state that never appears is given up, which is said."""
    made = bench(trials=2)
    made.store = Forgetful(store.url)
    executor = FaultyExecutor()
    done, shown = made.run(executor)
    assert done
    assert {trial.state for trial in made.trials()} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert max(executor.submitted.count(key) for key in executor.submitted) == 1 + TRIES
    (line, *_) = [it for it in shown.lines if "cannot be made again" in it]
    assert "must show a state that was put there" in line


def test_few_trials_begin_while_all_wait_for_one_epoch(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Trials that differ from a later epoch on keep one worker busy, but are not all asked for."""
    space = tmp_path / "space.toml"
    space.write_text(
        'optimizer = "SGD"\nlr = 0.01\nstep_size = 1\ngamma = { low = 0.1, high = 0.9 }'
    )
    made = bench(trials=24, sampler="RandomSampler", pruner="none", space=str(space))
    begun: list[int] = []

    def count(config: TrainConfig, epoch: int) -> None:
        if not begun:
            looked.wait(30)
            begun.append(len(optuna.load_study(study_name="s", storage=storage).trials))

    looked = threading.Event()
    storage = journal_storage(made.paths.journal("s"))
    view = Shown()
    view.show = lambda progress: looked.set()  # type: ignore[method-assign]
    assert made.run(FaultyExecutor(slots=2, fault=count), view)[0]
    assert begun == [4]


def test_an_epoch_that_hangs_does_not_outlive_the_timeout(bench: Callable[..., Bench]) -> None:
    """The trial in it can be continued, as after Ctrl-C."""
    free = threading.Event()
    made = bench(timeout=1.0)

    def hang(config: TrainConfig, epoch: int) -> None:
        free.wait(60)

    executor = FaultyExecutor(fault=hang)
    stop, executor.stop = executor.stop, free.set  # type: ignore[method-assign]
    began = time.monotonic()
    done, _ = made.run(executor)
    assert time.monotonic() - began < 30
    stop()
    assert not done
    assert {trial.state for trial in made.trials()} == {TrialState.RUNNING}
    assert bench().run(FaultyExecutor())[0]


def test_an_epoch_that_takes_far_longer_than_others_is_said(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with what ends it; it may hang."""
    monkeypatch.setattr("sweeps.engine.flights._SLOW_SECONDS", 0.0)
    monkeypatch.setattr("sweeps.engine.flights._SLOW_FACTOR", 1)
    said = threading.Event()
    shown = Shown()

    def say(line: str) -> None:
        shown.lines.append(line)
        if "has been in training" in line:
            said.set()

    def hang(config: TrainConfig, epoch: int) -> None:
        assert epoch == 1 or said.wait(60)

    shown.say = say  # type: ignore[method-assign]
    assert bench(trials=1).run(FaultyExecutor(fault=hang), shown)[0]
    (line,) = [it for it in shown.lines if "has been in training" in it]
    assert line.startswith("Epoch 2 of trial 0 ")
    assert "--epoch-timeout" in line


def test_an_error_of_the_training_code_fails_its_trial_with_its_traceback(
    bench: Callable[..., Bench],
) -> None:
    """The error is not tried again; the run keeps its traceback."""
    made = bench()
    executor = FaultyExecutor(fault=times(1, RuntimeError("out of memory")))
    done, shown = made.run(executor)
    assert done
    assert [trial.state == TrialState.FAIL for trial in made.trials()].count(True) == 1
    (failed,) = [record for record in shown.records.values() if record.state == "failed"]
    assert failed.tags["sweep.reason"] == "RuntimeError: out of memory"
    assert "Traceback" in failed.files["traceback.txt"] or failed.files["traceback.txt"]
    assert len(executor.submitted) == len(set(executor.submitted))


def test_an_error_that_every_trial_would_meet_stops_the_sweep(
    bench: Callable[..., Bench],
) -> None:
    """Missing data fails no trial; the next start resumes."""
    made = bench()
    with pytest.raises(DataError, match="not prepared"):
        made.run(FaultyExecutor(fault=times(1, DataError("not prepared"))))
    assert {trial.state for trial in made.trials()} == {TrialState.RUNNING}
    done, _ = made.run(FaultyExecutor())
    assert done
    assert len(made.trials()) == 4


def test_no_stage_is_submitted_twice_however_many_trials_want_it(
    bench: Callable[..., Bench],
) -> None:
    """Trials that share epochs share them while they are in flight, too."""
    executor = FaultyExecutor(slots=3)
    made = bench(trials=3)
    study = made.open()
    for gamma in (0.5, 0.5, 0.7):  # alike, alike, and alike in the first epoch
        params = {"optimizer": "SGD", "lr_index": 6, "step_size": 1, "gamma": gamma}
        study.optuna.enqueue_trial(params)
    study.lease.release()
    made.run(executor)
    assert len(executor.submitted) == len(set(executor.submitted)) == 3
    attributes = [trial.user_attrs for trial in made.trials()]
    assert [item["epochs"] for item in attributes] == [2, 2, 2]
    assert [item["reused_epochs"] for item in attributes] == [0, 2, 1]


def test_the_time_is_up_before_all_trials_are_there(bench: Callable[..., Bench]) -> None:
    """No epoch is begun after the timeout; without one the same study runs to its end."""
    done, _ = bench(timeout=1e-9).run(FaultyExecutor())
    assert not done
    again = bench()
    assert again.run(FaultyExecutor())[0]
    assert len(again.trials()) == 4


def test_runs_that_mlflow_lost_are_delivered_again_from_study_and_store(
    bench: Callable[..., Bench],
) -> None:
    """A start finds nothing to train, and a tracker that knows nothing is told all."""
    made = bench()
    _, first = made.run(FaultyExecutor())
    executor = FaultyExecutor()
    _, second = made.run(executor, Shown())
    assert executor.submitted == []
    assert second.records == first.records


def test_states_that_a_checkpoint_needs_are_trained_again_where_they_were_evicted(
    bench: Callable[..., Bench], store: StageStore
) -> None:
    """Results without states are enough for the table, and states come back for the checkpoints."""
    made = bench(trials=2)
    _, first = made.run(FaultyExecutor())
    StageStore(store.url, budget=0).evict(keep=())
    wanted = {item.key for run in first.records.values() for item in run.checkpoints.values()}
    assert wanted
    assert not any(store.has_state(key) for key in wanted)
    _, second = made.run(FaultyExecutor(), Shown())
    assert all(store.has_state(key) for key in wanted)
    assert second.records == first.records


def test_a_small_budget_evicts_no_state_that_a_live_trial_stands_on(
    bench: Callable[..., Bench], store: StageStore
) -> None:
    """With no room at all every epoch is still trained once only."""
    made = bench(trials=4)
    made.store = StageStore(store.url, budget=0)
    executor = FaultyExecutor()
    done, shown = made.run(executor)
    assert done
    assert len(executor.submitted) == len(set(executor.submitted))
    assert len(shown.lines) == len(made.trials())


def test_another_sweep_without_room_evicts_nothing_that_this_one_needs(
    bench: Callable[..., Bench], store: StageStore
) -> None:
    """So no epoch of it is trained once more."""
    looped = threading.Event()
    shown = Shown()
    shown.show = lambda progress: looped.set()  # type: ignore[method-assign]

    def evict(config: TrainConfig, epoch: int) -> None:
        looped.clear()
        assert looped.wait(30)
        StageStore(store.url, budget=0).evict(keep=())

    bench(sampler="RandomSampler", pruner="none").run(FaultyExecutor(fault=evict), shown)
    assert [record.retrained_epochs for record in shown.records.values()] == [0] * 4


def test_epochs_that_are_trained_once_more_are_counted_apart(
    bench: Callable[..., Bench], store: StageStore
) -> None:
    """Where somebody removes states, an epoch is trained from the start; later starts know.

    Such an epoch has the result that stands, so it counts as reused or trained, whatever it was.
    """

    def remove(config: TrainConfig, epoch: int) -> None:
        for path in Path(store.url).glob("states/*"):
            path.unlink()

    made = bench(trials=1)
    _, shown = made.run(FaultyExecutor(fault=remove))
    (record,) = shown.records.values()
    assert len(record.results) == 2
    assert (record.reused_epochs, record.retrained_epochs) == (0, 1)
    _, again = made.run(FaultyExecutor(), Shown())
    assert again.records == shown.records


def test_an_objective_that_is_no_number_fails_the_trial_in_optuna_and_in_mlflow(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """Both say so, and later starts do; a regression has no accuracy, say."""
    made = bench(trials=1, objective="val_accuracy", train=regression(tmp_path))
    _, shown = made.run(FaultyExecutor())
    (trial,) = made.trials()
    (record,) = shown.records.values()
    assert (trial.state, record.state) == (TrialState.FAIL, FAILED)
    assert (
        trial.user_attrs["reason"] == "val_accuracy of epoch 1 must be a finite number, but is nan."
    )
    _, again = made.run(FaultyExecutor(), Shown())
    assert repr(again.records) == repr(shown.records)  # no nan equals another


def test_the_progress_adds_up(bench: Callable[..., Bench]) -> None:
    """What is shown last is what Optuna has."""
    made = bench(trials=6)
    _, shown = made.run(FaultyExecutor())
    last = shown.progress[-1]
    assert last.done == 6
    assert last.trained + last.reused == sum(t.user_attrs["epochs"] for t in made.trials())
    assert last.best is not None
    assert last.best.value == min(t.value for t in made.trials() if t.value is not None)
    assert last.seconds_left == 0


def wide(sample: Path) -> str:
    """A space with rates that diverge."""
    return str(sample.with_name("wide.toml"))


def diverging(study: OpenStudy, trials: int) -> None:
    """Enqueue trials whose loss is not finite within an epoch."""
    for place in range(trials):
        params = {"optimizer": "RMSprop", "lr_index": 12, "step_size": 1, "gamma": 0.1 + place / 10}
        study.optuna.enqueue_trial(params)
    study.lease.release()


@pytest.mark.parametrize(
    ("changes", "values"),
    [({"sampler": "CmaEsSampler"}, 1), ({"sampler": "NSGAIISampler", "second": "seconds"}, 2)],
)
def test_samplers_that_learn_from_complete_trials_are_told_a_penalty_for_diverged_ones(
    changes: dict[str, Any], values: int, bench: Callable[..., Bench], sample: Path
) -> None:
    """The trial has diverged for everybody else, now and after another start, and is never best."""
    made = bench(trials=14, space=wide(sample), **changes)
    diverging(made.open(), 2)
    done, shown = made.run(FaultyExecutor())
    assert done
    told = made.trials()
    assert all(trial.state == TrialState.COMPLETE for trial in told)
    assert all(len(trial.values) == values for trial in told)
    assert all(math.isfinite(value) for trial in told for value in trial.values)
    outcomes = [outcome_of(trial) for trial in told]
    assert outcomes[:2] == ["diverged", "diverged"]
    assert "complete" in outcomes
    last = shown.progress[-1]
    assert last.ended["diverged"] == outcomes.count("diverged")
    complete = [trial for trial in told if outcome_of(trial) == "complete"]
    assert last.best is not None
    assert last.best.value == min(trial.values[0] for trial in complete)
    _, again = made.run(FaultyExecutor(), Shown())
    assert again.records == shown.records
    assert again.progress[-1].best == last.best


def test_a_penalty_is_never_the_best_value(bench: Callable[..., Bench], sample: Path) -> None:
    """Where all trials diverged none is the best."""
    made = bench(trials=2, sampler="CmaEsSampler", space=wide(sample))
    diverging(made.open(), 2)
    _, shown = made.run(FaultyExecutor())
    assert shown.progress[-1].best is None
    assert [line.partition(":")[0] for line in shown.lines] == [
        f"trial {number} diverged after 1 epoch" for number in (0, 1)
    ]


def test_the_second_objective_is_told_beside_the_first(bench: Callable[..., Bench]) -> None:
    """Seconds are those of all its epochs, whoever trained them; the first is at its best epoch."""
    made = bench(trials=4, second="seconds")
    _, shown = made.run(FaultyExecutor())
    of_trial = {run.tags[TRIAL_TAG]: run.results for run in shown.records.values()}
    for trial in made.trials():
        if outcome_of(trial) == "complete":
            results = of_trial[str(trial.number)]
            assert trial.values == [
                min(result.val_loss for result in results),
                sum(result.epoch_seconds for result in results),
            ]
            (line,) = [it for it in shown.lines if it.startswith(f"trial {trial.number} ")]
            assert f"val_loss {trial.values[0]:.4f}, seconds {trial.values[1]:.4f}" in line


def test_a_trial_of_two_objectives_goes_on_where_it_stood(bench: Callable[..., Bench]) -> None:
    """It has nothing reported, and what it had trained is not trained again."""
    made = bench(trials=3, second="val_accuracy")
    first, second = FaultyExecutor(), FaultyExecutor()
    left = [DataError("gone")]
    first.fault = lambda config, epoch: left.pop() if epoch == 2 and left else None
    with pytest.raises(DataError):
        made.run(first)
    done, _ = made.run(second)
    assert done
    assert len(made.trials()) == 3
    assert first.submitted[0] not in second.submitted
    assert all(trial.intermediate_values == {} for trial in made.trials())


def test_a_sweep_of_a_grid_ends_with_its_points(
    tmp_path: Path, bench: Callable[..., Bench]
) -> None:
    """Each is tried once, beside what was enqueued, however many trials were asked for."""
    space = tmp_path / "space.toml"
    space.write_text('optimizer = ["SGD", "Adam"]\nlr = { low = 0.01, high = 0.1, grid = "1-2-5" }')
    made = bench(trials=5, sampler="GridSampler", space=str(space))
    made.run(FaultyExecutor(slots=2))
    assert len(made.trials()) == 5
    made.config = replace(made.config, trials=50)
    study = made.open()
    study.optuna.enqueue_trial({"optimizer": "SGD", "lr_index": 0})
    study.lease.release()
    done, shown = made.run(FaultyExecutor(slots=2))
    assert done
    assert shown.progress[-1].trials == shown.progress[-1].done == 9
    params = [trial.params for trial in made.trials() if not is_enqueued(trial)]
    assert sorted(map(str, params)) == sorted(map(str, made.config.grid or ()))


def test_searches_of_two_seeds_differ_and_share_epochs(
    tmp_path: Path, bench: Callable[..., Bench]
) -> None:
    """They try other trials over the same weights, so that what both train is trained once."""
    space = tmp_path / "space.toml"
    space.write_text('optimizer = ["SGD", "Adam"]\nlr = { low = 0.01, high = 0.1, grid = "1-2-5" }')
    searches = [
        bench(
            study=f"s{seed}", search_seed=seed, trials=6, sampler="RandomSampler", space=str(space)
        )
        for seed in (1, 2)
    ]
    executors = [FaultyExecutor() for _ in searches]
    for made, executor in zip(searches, executors, strict=True):
        made.run(executor)
    first, second = ([trial.params for trial in made.trials()] for made in searches)
    assert first != second
    assert any(params in first for params in second)
    assert not set(executors[0].submitted) & set(executors[1].submitted)


def test_values_that_cannot_be_together_fail_their_trial_once(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """What no check of the space could find: the trial says why, and the next start lets it be."""
    space = tmp_path / "space.toml"
    space.write_text(
        'optimizer = "SGD"\nlr = 0.01\nmomentum = [0.9, 0.0]\nnesterov = [false, true]'
    )
    made = bench(space=str(space), sampler="GridSampler")
    done, shown = made.run(FaultyExecutor())
    assert done
    states = [trial.state for trial in made.trials()]
    assert states.count(TrialState.FAIL) == 1
    assert len(states) == 4
    (failed,) = [record for record in shown.records.values() if record.state == "failed"]
    assert "momentum" in failed.tags["sweep.reason"]
    assert failed.params["nesterov"] == "True"
    again, later = made.run(FaultyExecutor(), Shown())
    assert again
    assert later.records == shown.records
    assert states == [trial.state for trial in made.trials()]
