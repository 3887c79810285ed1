"""The stages in training: each once, however many trials wait for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sweeps.engine.executors import Executor, WorkerLost, reason_of
from sweeps.engine.progress import Busy
from sweeps.errors import SweepError
from sweeps.report.showing import duration
from sweeps.study.trial import LiveTrial
from trainer.errors import ConfigError, TrainerError
from trainer.metrics import EpochResult
from trainer.stages.plan import Stage
from trainer.stages.stage import Trained, train_stage
from trainer.stages.store import StageStore

TRIES = 3
"""Number of workers that may die with a stage before its trials fail."""

MOST_LOST_IN_A_ROW = 15
"""Number of workers that may die in a row, with different stages, before the sweep ends: the fault
is the machine's, and no trial may fail for it."""

_GRACE_SECONDS = 5.0  # after the timeout, for epochs in training, if none took longer
_SLOW_SECONDS = 60.0  # an epoch takes at least so long, and
_SLOW_FACTOR = 10  # so many times as long as any before it, before it is reported


@dataclass(frozen=True)
class _Flight:
    """A stage in training, and the trial it was submitted for."""

    future: Future[Trained]
    trial: LiveTrial
    stage: Stage
    with_state: bool
    began: float


class Flights:
    """The stages that an executor trains, by their result keys.

    Args:
        executor: trains them.
        store: where they are kept.
        folder: of the prepared data sets.
        timeout: seconds from now on after which nothing more is submitted; None: no limit.

    Attributes:
        landed: how many stages came back.
        failures: of stages that cannot be trained, by result key: the reason.
        suspects: stages whose workers died, `TRIES` each, by result key: the reason. They wait
            until another stage is trained, which shows that the fault is theirs.
    """

    def __init__(
        self,
        executor: Executor,
        store: StageStore,
        folder: Path,
        *,
        timeout: float | None = None,
    ) -> None:
        self._executor = executor
        self._store = store
        self._folder = folder
        self._timeout = math.inf if timeout is None else timeout
        self._began = time.monotonic()
        self._flights: dict[str, _Flight] = {}
        self._losses: dict[str, int] = {}
        self._lost_in_a_row: list[str] = []
        self._last_loss = ""
        self._unseen: dict[str, int] = {}
        self._slow: set[str] = set()
        self._results: dict[str, EpochResult] = {}
        self._missing: set[str] = set()  # the store is asked once here; a worker asks it again
        self.landed = 0
        self.failures: dict[str, str] = {}
        self.suspects: dict[str, str] = {}
        self._longest = 0.0

    def __contains__(self, result_key: str) -> bool:
        return result_key in self._flights

    def __len__(self) -> int:
        return len(self._flights)

    def result(self, key: str) -> EpochResult | None:
        """The result that a worker returned, shown by the store or not, or the stored one."""
        if key not in self._results and key not in self._missing:
            if stored := self._store.result(key):
                self._results[key] = stored
            else:
                self._missing.add(key)
        return self._results.get(key)

    def seconds(self) -> float:
        """Seconds since this start."""
        return time.monotonic() - self._began

    def in_time(self) -> bool:
        """Whether the timeout has not passed."""
        return self.seconds() < self._timeout

    def are_over(self) -> bool:
        """Whether it passed so long ago that what is in training is given up: it may hang."""
        return self.seconds() > self._timeout + max(_GRACE_SECONDS, self._longest)

    def may_submit(self) -> bool:
        """Whether a worker is free and the timeout has not passed."""
        return self.in_time() and len(self) < self._executor.slots

    def may_train(self, key: str) -> bool:
        """Whether a stage is neither in training nor failed nor a suspect."""
        return not any(key in them for them in (self._flights, self.failures, self.suspects))

    def submit(self, trial: LiveTrial, stage: Stage, with_state: bool) -> None:
        """Have a stage of a trial trained; with its state where that is needed."""
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
        self._flights[stage.result_key] = _Flight(
            future, trial, stage, with_state, time.monotonic()
        )

    def wait(self, seconds: float) -> None:
        """Wait until a stage comes back, at most so long."""
        futures = [flight.future for flight in self._flights.values()]
        wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)

    def land(self, say: Callable[[str], None]) -> int:
        """Take every stage that came back.

        Args:
            say: receives lines for people.

        Returns:
            Number of stages.

        Raises:
            TrainerError: nothing can be trained here.
        """
        self._tell_slow(say)
        landed = [item for item in self._flights.items() if item[1].future.done()]
        for key, flight in landed:
            del self._flights[key]
            error = flight.future.exception()
            if not isinstance(error, WorkerLost):
                self._lost_in_a_row.clear()
                self._accuse()
            if error is None:
                self._take(key, flight, flight.future.result(), say)
            elif isinstance(error, WorkerLost):
                self._lose(key, flight, error, say)
            elif not isinstance(error, TrainerError):
                self.failures[key] = reason_of(error)
            elif isinstance(error, ConfigError) and flight.trial.config.user_code:
                self.failures[key] = str(error)
            else:
                raise error
        self.landed += len(landed)
        return len(landed)

    def settle(self) -> bool:
        """Decide on the suspects when nothing else is left to train; False if there are none.

        Raises:
            SweepError: they are so many that the machine is at fault.
        """
        if len({*self._lost_in_a_row}) > TRIES:
            raise self._blame_machine()
        return self._accuse()

    def _accuse(self) -> bool:
        """Fail the suspected stages, as the machine trains others."""
        accused = bool(self.suspects)
        self.failures |= self.suspects
        self.suspects.clear()
        return accused

    def busy(self) -> tuple[Busy, ...]:
        """What the workers train."""
        now = time.monotonic()
        return tuple(
            Busy(
                trial=flight.trial.number,
                label=flight.trial.label,
                epoch=flight.stage.epoch,
                seconds=now - flight.began,
            )
            for flight in self._flights.values()
        )

    def _take(
        self, key: str, flight: _Flight, trained: Trained, say: Callable[[str], None]
    ) -> None:
        self._results[key] = trained.result
        self._longest = max(self._longest, time.monotonic() - flight.began)
        flight.trial.retrain(trained.retrained)
        for note in trained.notes:
            say(note)
        if flight.with_state and not self._store.has_state(flight.stage.key):
            self._unseen[key] = self._unseen.get(key, 0) + 1
            if self._unseen[key] >= TRIES:
                self.failures[key] = (
                    f"The stage store {self._store.url} must show a state that was put there, but "
                    f"did not after {TRIES} tries."
                )

    def _lose(
        self, key: str, flight: _Flight, lost: WorkerLost, say: Callable[[str], None]
    ) -> None:
        """Train it again, unless it becomes a suspect or nothing can be trained here."""
        self._lost_in_a_row.append(key)
        self._last_loss = str(lost)
        most, epochs = max(MOST_LOST_IN_A_ROW, 3 * self._executor.slots), {*self._lost_in_a_row}
        if len(self._lost_in_a_row) >= most and len(epochs) > TRIES:
            raise self._blame_machine()
        self._losses[key] = self._losses.get(key, 0) + lost.is_own
        what = f"epoch {flight.stage.epoch} of {flight.trial.title}"
        if self._losses[key] < TRIES:
            say(f"A worker died with {what}; it is trained again.")
        else:
            self.suspects[key] = f"{lost.printed}{TRIES} workers died with {what}."

    def _blame_machine(self) -> SweepError:
        return SweepError(
            f"Workers must be able to train, but {len(self._lost_in_a_row)} died one after "
            f"another, with {len({*self._lost_in_a_row})} different epochs: {self._last_loss} The "
            "same command resumes the study once that is fixed."
        )

    def _tell_slow(self, say: Callable[[str], None]) -> None:
        """Report once that a stage takes far longer than any before it: it may hang."""
        for key, flight in self._flights.items():
            seconds = time.monotonic() - flight.began
            most = max(_SLOW_SECONDS, _SLOW_FACTOR * self._longest)
            if self._longest and seconds > most and key not in self._slow:
                self._slow.add(key)
                say(
                    f"Epoch {flight.stage.epoch} of {flight.trial.title} has been in training for "
                    f"{duration(seconds)}, and no other took more than {duration(self._longest)}; "
                    "--epoch-timeout ends such an epoch."
                )
