"""`Window`: the fixed order in which the results of epochs are taken into account.

A study trains a fixed number of trials at a time, however many workers it has. Their next epochs
form a queue: only the result of the first is taken into account, and then its trial goes to the end
of the queue, or makes room for what is decided next. So every decision sees the same results, no
matter how many workers trained them or which was faster; the order is that of a reorder buffer
(Smith and Pleszkun, Implementing precise interrupts in pipelined processors, 1988).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Granted(NamedTuple):
    """A decision to train a trial further.

    Attributes:
        number: of the decision, counted from 0 in the study.
        accepted: epochs that the study had taken into account by then.
        epochs: that the trial may then train in all.
        trial: id of its run.
    """

    number: int
    accepted: int
    epochs: int
    trial: str


class Window:
    """The queue of a study's trials in training.

    Args:
        width: trials in training at a time.
        recorded: decisions of earlier starts, in any order; they are repeated in their first order.
        past: epochs of the trials that an earlier start finished in Optuna.
        reported: epochs of the other trials whose values an earlier start reported to Optuna.
    """

    def __init__(
        self,
        width: int,
        recorded: Iterable[Granted] = (),
        past: Mapping[str, int] | None = None,
        reported: Mapping[str, int] | None = None,
    ) -> None:
        self.width = width
        self._past = past or {}
        self._reported = reported or {}
        self._recorded = deque(sorted(recorded))
        self._decided = 0
        self._accepted = 0
        self._queue: deque[str] = deque()
        self._epochs: dict[str, int] = {}
        self._goals: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """Whether another trial may be trained."""
        return len(self._queue) < self.width

    @property
    def first(self) -> str:
        """The trial whose next epoch is taken into account next."""
        return self._queue[0]

    @property
    def queue(self) -> Sequence[str]:
        """The trials, in the order in which their next epochs are wanted."""
        return tuple(self._queue)

    def recorded(self) -> Granted | None:
        """The decision of an earlier start at this point, if any."""
        if self._recorded and (self._recorded[0].accepted <= self._accepted or not self._queue):
            return self._recorded[0]
        return None

    @property
    def is_caught_up(self) -> bool:
        """Whether all decisions of earlier starts are repeated, with all results that Optuna has.

        A decision before that would depend on results that come later in the order.
        """
        return not self._recorded and not any(
            trial in self._past or self._epochs.get(trial, 0) < self._reported.get(trial, 0)
            for trial in self._queue
        )

    def grant(self, trial: str, epochs: int) -> Granted:
        """Append a trial to the queue, to train up to so many epochs in all."""
        if self._recorded and self._recorded[0].trial == trial:
            self._recorded.popleft()
        granted = Granted(self._decided, self._accepted, epochs, trial)
        self._decided += 1
        self._goals[trial] = epochs
        self._queue.append(trial)
        return granted

    def accept(self, *, ended: bool) -> None:
        """Take the next epoch of the first trial into account; the trial stays, unless it ended."""
        trial = self._queue.popleft()
        self._accepted += 1
        self._epochs[trial] = self._epochs.get(trial, 0) + 1
        if not ended and self._epochs[trial] < self._goals[trial]:
            self._queue.append(trial)

    def pass_over(self) -> bool:
        """Whether an earlier start finished the first trial; then its next epoch is passed."""
        trial = self.first
        if trial not in self._past:
            return False
        left = self._past[trial] - self._epochs.get(trial, 0)
        if left > 0:
            self.accept(ended=left == 1)
        else:
            self.drop()
        return True

    def clear(self) -> None:
        """Remove all trials, which ended without a result of their next epochs."""
        self._queue.clear()

    def drop(self) -> None:
        """Remove the first trial, which ended without a result of its next epoch."""
        self._queue.popleft()
