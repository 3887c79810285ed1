"""The coordinator with trials that are suspended and taken up again, on a law of training."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from laws import OPTIMIZERS, losses
from optuna.trial import FrozenTrial, TrialState
from samples import Said, Shown, result

from sweeps.engine.coordinator import Coordinator
from sweeps.engine.delivery import Delivery
from sweeps.engine.progress import Progress
from sweeps.engine.workspace import Workspace
from sweeps.search.allocation.curves import EPOCHS, granted_to
from sweeps.search.optuna_private import is_enqueued
from sweeps.settings.config import SweepConfig
from sweeps.study.opening import LEAST_WIDTH, OpenStudy, open_study
from sweeps.study.trials import CLOSED_AT, Trials
from trainer.data import Data, load
from trainer.errors import DataError
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.stages.plan import plan
from trainer.stages.stage import Trained
from trainer.stages.store import StageStore
from trainer.tracking.record import CheckpointRule
from trainer.training.recipe import Recipe

LENGTH = 8
TARGET = 1.2  # a loss that some trials reach before their last epoch
FAMILY = """
optimizer = "SGD"
lr = 0.05
step_size = { low = 1, high = "epochs" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
"""


@dataclass
class LawExecutor:
    """Keeps what the law gives for an epoch in the store, and trains nothing.

    Attributes:
        data: that the sweep trains on.
        slots: how many may be submitted at once.
        dies_at: the place among the submissions of the one that cannot be; None: all can.
        before: called before each.
        submitted: result keys, in order.
    """

    data: Data
    slots: int = 1
    dies_at: int | None = None
    before: Callable[[], object] = lambda: None
    submitted: list[str] = field(default_factory=list)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Do it; with several slots when those before it are done."""
        assert isinstance(fn, partial)
        self.before()
        self.submitted.append(fn.keywords["expect"])
        if len(self.submitted) - 1 == self.dies_at:
            raise DataError("gone")
        if self.slots > 1:
            return self._thread.submit(self._do, fn)
        future: Future[Any] = Future()
        future.set_result(self._do(fn))
        return future

    def awaited(self) -> None:
        """The coordinator is about to wait."""

    def stop(self) -> None:
        """Wait for what was submitted."""
        self._thread.shutdown()

    def _do(self, work: partial[Any]) -> Any:
        config, epoch, store, _ = work.args
        rates = [stage.rates.scalars["lr"] for stage in plan(Recipe(config, self.data))[1:]]
        values = losses(config.values(), rates)
        loss = values[epoch - 1] if epoch <= len(values) else float("inf")
        trained_for = work.keywords["trained_for"]
        trained = result(
            epoch,
            val_loss=loss,
            val_accuracy=math.exp(-loss) - 0.05 * max(epoch - 3, 0),  # it falls where loss stalls
            lr=rates[epoch - 1],
            trained_for=trained_for,
        )
        store.put_result(work.keywords["expect"], trained)
        return Trained(result=trained)


class Watched(Said):
    """A view that keeps the progress, too; it is shown before the coordinator waits."""

    def __init__(self, awaited: Callable[[], None]) -> None:
        super().__init__()
        self.progress: list[Progress] = []
        self._awaited = awaited

    def show(self, progress: Progress) -> None:
        """Keep it."""
        self.progress.append(progress)
        self._awaited()


class Dying(Watched):
    """A view with which the sweep dies where it says its line number `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(lambda: None)
        self._at = at

    def say(self, line: str) -> None:
        """Keep it, or die."""
        if len(self.lines) == self._at:
            raise DataError("gone")
        super().say(line)


@dataclass
class Bench:
    """A study on a bench: run it as often as you like, with as many trials as you like."""

    config: SweepConfig
    paths: Paths
    store: StageStore
    data: Data

    def open(self) -> OpenStudy:
        """The study as a new process finds it."""
        return open_study(self.config, self.paths)

    def run(
        self, executor: LawExecutor | None = None, view: Watched | None = None, **watch: Any
    ) -> Watched:
        """Run it to its end, or until the executor or the view can no more."""
        executor = executor or LawExecutor(self.data)
        view = view or Watched(executor.awaited)
        study, delivery = self.open(), Delivery(Shown())
        for name, make in watch.items():
            setattr(executor, name, make(study))
        trials = Trials(self.config, study, self.data)
        work = Workspace(
            data=self.data,
            folder=self.paths.data,
            store=self.store,
            executor=executor,
            tracker=Shown(),
            delivery=delivery,
        )
        coordinator = Coordinator(self.config, study, trials, work, view)
        coordinator.resume()
        try:
            assert coordinator.run() == (self.config.timeout is None)
        finally:
            executor.stop()
            assert delivery.drain(60) == 0
            study.lease.release()
        return view

    def cut_off(self, at: int) -> None:
        """Run it until so many epochs were submitted."""
        with pytest.raises(DataError, match="gone"):
            self.run(LawExecutor(self.data, dies_at=at))

    def trials(self) -> list[FrozenTrial]:
        """What Optuna has."""
        study = self.open()
        study.lease.release()
        return study.optuna.get_trials()

    def table(self) -> list[tuple[Any, ...]]:
        """The same, but for when and by whom it was trained."""
        return [
            (it.params, it.state, it.values, it.intermediate_values, it.user_attrs[EPOCHS])
            for it in self.trials()
        ]


@pytest.fixture
def bench(tmp_path: Path, sample: Path) -> Iterator[Callable[..., Bench]]:
    """Makes a study of eight epochs over a file's space, with changes, in a folder of its own."""

    def make(space: str = OPTIMIZERS, folder: str = "a", **changes: Any) -> Bench:
        file = tmp_path / "space.toml"
        file.write_text(space)
        train = TrainConfig(dataset=str(sample), limit=20, epochs=LENGTH, device="cpu")
        config = SweepConfig(
            **{
                "train": train,
                "space": str(file),
                "trials": 12,
                "study": "s",
                "checkpoints": CheckpointRule(best=False, last=False),
                **changes,
            }
        )
        data = load(train.dataset, train.split, train.limit, tmp_path)
        return Bench(
            config, Paths(tmp_path / folder), StageStore(tmp_path / "stages" / folder), data
        )

    return make


PROMOTING = {"sampler": "RandomSampler", "pruner": "PromotionPruner"}


def is_waiting(trial: FrozenTrial) -> bool:
    """Whether a trial is suspended."""
    step = trial.last_step or 0
    return trial.state == TrialState.RUNNING and step >= (granted_to(trial) or LENGTH)


@pytest.mark.parametrize("changes", [{}, PROMOTING], ids=["frugal", "promotion"])
def test_trials_are_suspended_taken_up_again_and_told_at_the_end(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """None is told that it was pruned before the study is closed, unless it diverged."""
    made = bench(**changes)
    seen: list[list[FrozenTrial]] = []
    view = made.run(before=lambda study: lambda: seen.append(study.optuna.get_trials()))
    assert any(line.startswith("trial ") and " suspended after " in line for line in view.lines)
    assert any(" resumes, to epoch " in line for line in view.lines)
    assert max(progress.suspended for progress in view.progress) > 1
    assert view.progress[-1].suspended == 0
    pruned = [it for trials in seen for it in trials if it.state == TrialState.PRUNED]
    assert all(trial.constraints for trial in pruned)
    assert any(is_waiting(trial) for trial in seen[-1])
    told = made.trials()
    assert len(told) == 12
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in told)
    waited = [trial for trial in told if trial.state == TrialState.PRUNED and not trial.constraints]
    assert waited
    assert all(it.last_step == it.user_attrs[EPOCHS] == granted_to(it) for it in waited)
    assert made.open().optuna.user_attrs[CLOSED_AT] == 12


@pytest.mark.parametrize("changes", [{}, PROMOTING], ids=["frugal", "promotion"])
@pytest.mark.parametrize("slots", [1, 2])
def test_few_trials_are_on_their_way_at_once(
    slots: int, changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """No more than the study trains at a time, whatever the number of workers."""
    made = bench(**changes)
    active: list[int] = []

    def count(study: OpenStudy) -> Callable[[], None]:
        def look() -> None:
            trials = study.optuna.get_trials(deepcopy=False)
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            active.append(sum(not is_waiting(trial) for trial in running))

        return look

    made.run(LawExecutor(made.data, slots=slots), before=count)
    assert max(active) == LEAST_WIDTH


def test_trials_that_wait_for_one_epoch_are_no_reason_to_begin_more(
    bench: Callable[..., Bench],
) -> None:
    """Of schedules of one rate, with two workers, few are begun before the first result."""
    made = bench(FAMILY, trials=24)
    begun: list[int] = []
    made.run(
        LawExecutor(made.data, slots=2),
        before=lambda study: lambda: begun.append(len(study.optuna.get_trials(deepcopy=False))),
    )
    assert begun[0] == LEAST_WIDTH
    assert begun[1] <= 2 * LEAST_WIDTH  # the second epoch is submitted when the first is there
    assert len(made.trials()) == 24


class ErraticExecutor(LawExecutor):
    """Ends what it was given in an order of its own, one epoch each time it is waited for."""

    def __init__(self, data: Data, slots: int, seed: int, dies_at: int | None = None) -> None:
        super().__init__(data, slots=slots, dies_at=dies_at)
        self._random = random.Random(seed)
        self._pending: list[tuple[Future[Any], partial[Any]]] = []

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Take it."""
        assert isinstance(fn, partial)
        if len(self.submitted) == self.dies_at:
            raise DataError("gone")
        self.submitted.append(fn.keywords["expect"])
        self._pending.append((Future(), fn))
        return self._pending[-1][0]

    def awaited(self) -> None:
        """Let one end."""
        if self._pending:
            future, work = self._pending.pop(self._random.randrange(len(self._pending)))
            future.set_result(self._do(work))


PATIENT = {
    "sampler": "TPESampler",
    "pruner": "none",
    "objective": "val_accuracy",
    "patience": 2,
}
SEARCHES: dict[str, dict[str, Any]] = {
    "frugal": {},
    "promotion": PROMOTING,
    "compare": {"compare": "optimizer", "trials": 15},
    "median": {"sampler": "TPESampler", "pruner": "MedianPruner"},
    "hyperband": {"sampler": "TPESampler", "pruner": "HyperbandPruner"},
    "two objectives": {"sampler": "NSGAIISampler", "pruner": "none", "second": "train_loss"},
    "patience": PATIENT,
    "frugal patience": {**PATIENT, "sampler": "", "pruner": ""},
    "target": {"target": TARGET},
    "target of whole trials": {"sampler": "RandomSampler", "pruner": "none", "target": TARGET},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", SEARCHES.values(), ids=SEARCHES)
def test_any_number_of_workers_gives_the_same_table(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """Whichever of them is faster, and where the study is cut off and resumed with another."""
    alone = bench(**changes)
    executor = LawExecutor(alone.data)
    alone.run(executor)
    for slots in (3, 6):
        made = bench(folder=f"of{slots}", **changes)
        made.run(ErraticExecutor(made.data, slots, seed=slots))
        assert made.table() == alone.table()
    made = bench(folder="cut", **changes)
    count = len(executor.submitted)
    with pytest.raises(DataError, match="gone"):
        made.run(ErraticExecutor(made.data, 4, seed=4, dies_at=count // 2))
    made.run(ErraticExecutor(made.data, 2, seed=0))
    assert made.table() == alone.table()


@pytest.mark.slow
@pytest.mark.parametrize("changes", SEARCHES.values(), ids=SEARCHES)
def test_a_sweep_whose_time_was_up_goes_on_to_the_same_table(
    changes: dict[str, Any], bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that come in later are not taken into account before what they were to decide."""
    alone = bench(**changes)
    executor = LawExecutor(alone.data)
    alone.run(executor)
    made = bench(folder="late", **changes, timeout=1000)
    late = ErraticExecutor(made.data, 4, seed=1)
    half = len(executor.submitted) // 2
    clock = SimpleNamespace(monotonic=lambda: 1001.0 if len(late.submitted) > half else 0.0)
    monkeypatch.setattr("sweeps.engine.flights.time", clock)
    made.run(late)
    monkeypatch.undo()
    made = bench(folder="late", **changes)
    made.run(ErraticExecutor(made.data, 2, seed=2))
    assert made.table() == alone.table()


@pytest.mark.parametrize("changes", [{}, PROMOTING], ids=["frugal", "promotion"])
def test_two_workers_end_with_every_trial_told(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """No epoch is trained twice, and nothing is left on its way."""
    made = bench(**changes)
    executor = LawExecutor(made.data, slots=2)
    view = made.run(executor)
    assert len(executor.submitted) == len(set(executor.submitted))
    assert all(trial.state.is_finished() for trial in made.trials())
    assert view.progress[-1].done == 12


def test_a_study_that_was_closed_goes_on_when_it_is_to_have_more_trials(
    bench: Callable[..., Bench],
) -> None:
    """Those that had ended stay as they are; the same number again decides nothing."""
    made = bench(trials=5)
    made.run()
    before = made.table()
    executor = LawExecutor(made.data)
    made.run(executor)
    assert executor.submitted == []
    assert made.table() == before
    made.config = replace(made.config, trials=9)
    view = made.run()
    assert made.table()[:5] == before
    assert len(made.trials()) == 9
    assert view.progress[-1].done == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, PROMOTING, {"sampler": "TPESampler", "pruner": "MedianPruner"}],
    ids=["frugal", "promotion", "median"],
)
def test_what_other_studies_left_in_the_store_changes_no_decision(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """With an empty store, one that is full and one that has every other epoch."""
    empty = bench(**changes)
    first = LawExecutor(empty.data)
    empty.run(first)
    full = bench(folder="b", **changes)
    full.store = empty.store
    second = LawExecutor(full.data)
    full.run(second)
    half = bench(folder="c", **changes)
    for key in first.submitted[::2]:
        known = empty.store.result(key)
        assert known is not None
        half.store.put_result(key, known)
    third = LawExecutor(half.data)
    half.run(third)
    assert full.table() == empty.table() == half.table()
    assert second.submitted == []
    assert third.submitted == first.submitted[1::2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({}, 14),
        (PROMOTING, 7),
        ({"compare": "optimizer", "pruner": "PromotionPruner"}, 14),
        (PATIENT, 20),
        ({"target": TARGET}, 2),
    ],
    ids=["frugal", "promotion", "compare", "patience", "target"],
)
def test_a_study_that_was_cut_off_anywhere_goes_on_as_it_would_have(
    changes: dict[str, Any], every: int, bench: Callable[..., Bench]
) -> None:
    """The table, the order of epochs and what was granted are those of one that was not."""
    straight = bench(**changes)
    executor = LawExecutor(straight.data)
    straight.run(executor)
    expected = straight.table()
    for at in range(1, len(executor.submitted), every):
        made = bench(folder=f"cut{at}", **changes)
        made.cut_off(at)
        rest = LawExecutor(made.data)
        made.run(rest)
        assert made.table() == expected
        assert rest.submitted == executor.submitted[at:]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, PROMOTING], ids=["frugal", "promotion"])
def test_a_store_that_was_wiped_while_trials_were_suspended_costs_time_and_no_number(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """What is missing is trained again, and then decided as it would have been."""
    straight = bench(**changes)
    executor = LawExecutor(straight.data)
    straight.run(executor)
    made = bench(folder="b", **changes)
    made.cut_off(2 * len(executor.submitted) // 3)
    made.store = bench(folder="wiped").store
    made.run()
    assert made.table() == straight.table()


def test_a_grid_has_each_of_its_points_though_trials_of_it_are_suspended(
    bench: Callable[..., Bench],
) -> None:
    """Beside those that were enqueued, which take no point's place."""
    space = 'optimizer = ["SGD", "Adam"]\nlr = { low = 0.005, high = 0.05, grid = "1-2-5" }'
    made = bench(space, trials=50, sampler="GridSampler")
    study = made.open()
    for place in range(2):
        study.optuna.enqueue_trial({"optimizer": "SGD", "lr_index": place})
    study.lease.release()
    view = made.run()
    assert any(" suspended after " in line for line in view.lines)
    trials = made.trials()
    points = [trial.params for trial in trials if not is_enqueued(trial)]
    assert sorted(map(str, points)) == sorted(map(str, made.config.grid or ()))
    assert len(trials) == len(points) + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [{}, {"sampler": "RandomSampler", "pruner": "none"}],
    ids=["suspended", "whole"],
)
def test_a_study_ends_once_its_later_trials_improve_too_little(
    bench: Callable[..., Bench], arguments: dict[str, Any]
) -> None:
    """Before it has all its trials; the same command again adds none; without the flag it resumes
    to all of them.
    """
    made = bench(trials=60, until_settled=0.05, **arguments)
    view = made.run()
    begun = len(made.trials())
    assert 20 <= begun < 60
    assert all(trial.state.is_finished() for trial in made.trials())
    (line,) = [line for line in view.lines if line.startswith("Settled: ")]
    assert f"second half of {begun} trials improved val_loss by less than 5.0%" in line
    before, executor = made.table(), LawExecutor(made.data)
    again = made.run(executor)
    assert executor.submitted == []
    assert made.table() == before
    assert not [line for line in again.lines if line.startswith("Settled: ")]
    whole = bench(trials=60, **arguments)
    whole.run()
    assert len(whole.trials()) == 60


@pytest.mark.slow
def test_each_value_that_is_compared_has_to_settle(bench: Callable[..., Bench]) -> None:
    """Twenty trials in all are few for each of two; all values end with as many."""
    made = bench(trials=80, until_settled=0.05, compare="optimizer")
    made.run()
    counts = Counter(trial.params["optimizer"] for trial in made.trials())
    assert len(made.trials()) < 80
    assert min(counts.values()) >= 20
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_trial_that_no_longer_improves_is_complete(bench: Callable[..., Bench]) -> None:
    """After as many epochs without a better value as it may have, with its best value."""
    made = bench(**PATIENT)
    made.run()
    ended = [it for it in made.trials() if it.state == TrialState.COMPLETE]
    early = [it for it in ended if it.user_attrs[EPOCHS] < LENGTH]
    assert early
    for trial in ended:
        values = list(trial.intermediate_values.values())
        best = values.index(max(values)) + 1
        assert trial.values == [max(values)]
        assert trial.user_attrs[EPOCHS] == len(values) == min(best + 2, LENGTH)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"target": TARGET},
        {"target": 0.3, "objective": "val_accuracy"},
        {"target": TARGET, "sampler": "RandomSampler", "pruner": "none"},
        {"target": TARGET, "compare": "optimizer"},
    ],
    ids=["frugal", "accuracy", "whole", "compare"],
)
def test_a_sweep_ends_with_the_trial_that_reaches_the_target(
    changes: dict[str, Any], bench: Callable[..., Bench]
) -> None:
    """All others are pruned, and the same command again trains nothing; without the flag the study
    continues to all its trials.
    """
    made = bench(**changes)
    view = made.run()
    (reached,) = [it for it in made.trials() if it.state == TrialState.COMPLETE]
    *earlier, last = reached.intermediate_values.values()
    is_more, target = "objective" in changes, changes["target"]
    assert last >= target if is_more else last <= target
    assert not [it for it in earlier if (it >= target if is_more else it <= target)]
    assert all(it.state == TrialState.PRUNED for it in made.trials() if it != reached)
    assert len(made.trials()) < 12
    assert [line for line in view.lines if line.startswith("The target, ")] == [
        f"The target, {made.config.objective} {target}, is reached."
    ]
    assert view.progress[-1].trials == view.progress[-1].done == len(made.trials())
    before, executor = made.table(), LawExecutor(made.data)
    made.run(executor)
    assert executor.submitted == []
    assert made.table() == before
    made.config = replace(made.config, target=None)
    made.run()
    assert made.table()[: len(before)] == before
    assert len(made.trials()) == 12


@pytest.mark.slow
def test_a_sweep_that_dies_while_it_ends_at_its_target_ends_as_it_would_have(
    bench: Callable[..., Bench],
) -> None:
    """Wherever it died among the trials that it ends."""
    straight = bench(target=TARGET)
    lines = straight.run().lines
    ends = [place for place, line in enumerate(lines) if " pruned after " in line]
    assert len(ends) > 2
    for at in ends:
        made = bench(folder=f"cut{at}", target=TARGET)
        with pytest.raises(DataError, match="gone"):
            made.run(view=Dying(at))
        made.run()
        assert made.table() == straight.table()


def test_a_model_that_cannot_be_made_fails_its_trial_alone(
    bench: Callable[..., Bench],
) -> None:
    """The reason is kept, the others train, and a later start lets it be."""
    space = 'optimizer = "SGD"\nlr = 0.05\nmodel = ["brought:tiny", "brought:picky"]\n'
    made = bench(space=space + "step_size = { low = 1, high = 8 }", **PROMOTING)
    made.run()
    failed = [it for it in made.trials() if it.state == TrialState.FAIL]
    assert 0 < len(failed) < 12
    assert {it.params["model"] for it in failed} == {"brought:picky"}
    assert "not on Wednesdays" in failed[0].user_attrs["reason"]
    before = [(it.state, it.params) for it in made.trials()]
    made.run()
    assert [(it.state, it.params) for it in made.trials()] == before


def grants(lines: Sequence[str]) -> list[str]:
    """Of what was said, who resumed."""
    return [line for line in lines if " resumes, to epoch " in line]


@pytest.mark.slow
def test_what_is_said_tells_why_a_trial_goes_on(bench: Callable[..., Bench]) -> None:
    """In words, without a figure: what is expected ranks candidates well, but replayed studies
    gained a sixteenth of it.
    """
    frugal, promotion = bench().run(), bench(folder="b", **PROMOTING).run()
    assert all(
        "largest expected improvement of the best value per epoch" in line
        for line in grants(frugal.lines)
    )
    assert all("among the best 50% after epoch" in line for line in grants(promotion.lines))
