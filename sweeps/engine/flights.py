"""The stages that are being trained: each once, however many trials wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sweeps.engine.executors import Executor, WorkerLost, reason_of
from sweeps.engine.progress import Busy
from sweeps.errors import SweepError
from sweeps.study.trial import LiveTrial
from trainer.errors import ConfigError, TrainerError
from trainer.stages.plan import Stage
from trainer.stages.stage import Trained, train_stage
from trainer.stages.store import StageStore

TRIES = 3
"""Workers that may die with a stage before its trials fail."""

MOST_LOST_IN_A_ROW = 15
"""Workers that die one after another, with different stages, before the sweep ends: the fault is
that of the machine, and no trial is to fail for it."""


@dataclass(frozen=True)
class _Flight:
    """A stage that is being trained, and the trial it was submitted for."""

    future: Future[Trained]
    trial: LiveTrial
    stage: Stage
    began: float


class Flights:
    """The stages that an executor trains, by their result keys.

    Args:
        executor: trains them.
        store: where they are kept.
        folder: of the prepared data sets.
        common: code that users bring for all trials, by reference.

    Attributes:
        failures: of stages that cannot be trained, by result key: the reason.
    """

    def __init__(
        self, executor: Executor, store: StageStore, folder: Path, common: Iterable[str]
    ) -> None:
        self._executor = executor
        self._store = store
        self._folder = folder
        self._common = frozenset(common)
        self._flights: dict[str, _Flight] = {}
        self._losses: dict[str, int] = {}
        self._lost_in_a_row: list[str] = []
        self.failures: dict[str, str] = {}

    def __contains__(self, result_key: str) -> bool:
        return result_key in self._flights

    def __len__(self) -> int:
        return len(self._flights)

    def submit(self, trial: LiveTrial, stage: Stage, with_state: bool) -> None:
        """Have a stage of a trial trained; with its state where that is what is needed."""
        work = partial(
            train_stage,
            trial.config,
            stage.epoch,
            self._store,
            self._folder,
            trained_for=trial.record.id,
            expect=stage.result_key,
            with_state=with_state,
        )
        future = self._executor.submit(work)
        self._flights[stage.result_key] = _Flight(future, trial, stage, time.time())

    def wait(self, seconds: float) -> None:
        """Wait until a stage comes back, at most so long."""
        futures = [flight.future for flight in self._flights.values()]
        wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)

    def land(self, say: Callable[[str], None]) -> int:
        """Take in every stage that came back.

        Args:
            say: tells people what they should know of them.

        Returns:
            How many did.

        Raises:
            TrainerError: nothing can be trained here.
        """
        landed = [item for item in self._flights.items() if item[1].future.done()]
        for key, flight in landed:
            del self._flights[key]
            error = flight.future.exception()
            if not isinstance(error, WorkerLost):
                self._lost_in_a_row.clear()
            if error is None:
                trained = flight.future.result()
                flight.trial.retrain(trained.passed_again)
                for note in trained.notes:
                    say(note)
            elif isinstance(error, WorkerLost):
                self._lose(key, flight, error, say)
            elif not isinstance(error, TrainerError):
                self.failures[key] = reason_of(error)
            elif isinstance(error, ConfigError) and not self._common.issuperset(
                flight.trial.config.references
            ):  # code that only some trials run is not to end the others
                self.failures[key] = str(error)
            else:
                raise error
        return len(landed)

    def busy(self) -> tuple[Busy, ...]:
        """What the workers train."""
        now = time.time()
        return tuple(
            Busy(
                trial=flight.trial.number,
                label=flight.trial.label,
                epoch=flight.stage.epoch,
                seconds=now - flight.began,
            )
            for flight in self._flights.values()
        )

    def _lose(
        self, key: str, flight: _Flight, lost: WorkerLost, say: Callable[[str], None]
    ) -> None:
        """Have it trained again, unless it alone is to blame or nothing can be trained here."""
        self._lost_in_a_row.append(key)
        most, epochs = max(MOST_LOST_IN_A_ROW, 3 * self._executor.slots), {*self._lost_in_a_row}
        if len(self._lost_in_a_row) >= most and len(epochs) > TRIES:
            raise SweepError(
                f"Workers must be able to train, but {most} died one after another, with "
                f"{len(epochs)} different epochs: {lost} The same command goes on with the study "
                "when that is mended."
            )
        self._losses[key] = self._losses.get(key, 0) + lost.is_own
        what = f"epoch {flight.stage.epoch} of {flight.trial.title}"
        if self._losses[key] < TRIES:
            say(f"A worker died with {what}; it is trained again.")
        else:
            self.failures[key] = f"{TRIES} workers died with {what}."
