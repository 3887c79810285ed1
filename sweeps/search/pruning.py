"""Pruners by name; a verdict depends on what trials have reported, however often it is asked for.

Optuna's own successive halving writes down on a trial, each time it is asked, which rungs the trial
has passed; asked again after a crash, it answers otherwise. The pruners here only read.
What is reported after each epoch is the best value so far.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

FULL_TRIALS_FIRST = 5
"""Trials that must have trained to their end before `percentile` and `median` stop any."""

FIRST_RUNG = 2
"""Epochs of a trial before `asha` first judges it; after one, noise decides too much."""

REDUCTION = 3
"""At a rung the best of so many go on; the next rung is so many times as far."""

PATIENCE = 5
"""Epochs without a better value after which `patient` stops a trial."""

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "percentile": lambda epochs: PercentilePruner(25.0, n_startup_trials=FULL_TRIALS_FIRST),
    "median": lambda epochs: MedianPruner(n_startup_trials=FULL_TRIALS_FIRST),
    "asha": lambda epochs: Halving(FIRST_RUNG),
    "hyperband": lambda epochs: Hyperband(epochs),
    "patient": lambda epochs: Patient(PATIENCE),
    "none": lambda epochs: NopPruner(),
}
"""Each makes the pruner for trials of so many epochs."""

LEAST_EPOCHS = {"asha": FIRST_RUNG + 1, "hyperband": REDUCTION, "patient": PATIENCE + 2}
"""With fewer epochs these would stop no trial; `hyperband` would have one bracket."""


class Halving(BasePruner):
    """Asynchronous successive halving: at each rung the best third of those that came so far go on.

    It never waits: a trial is judged when it comes to a rung, against those that were there before
    it; the first ones go on if they are the best so far. https://arxiv.org/abs/1810.05934

    Args:
        first: epochs to the first rung; the next are `REDUCTION` times as far each.
    """

    def __init__(self, first: int) -> None:
        self._first = first

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial stands on a rung and is not good enough to go on."""
        return self.stops(trial, study.get_trials(deepcopy=False), study.direction)

    def stops(
        self, trial: FrozenTrial, rivals: Sequence[FrozenTrial], direction: StudyDirection
    ) -> bool:
        """As `prune`, against the given trials; that `trial` is among them makes no difference."""
        step = trial.last_step
        if step is None or not self._is_rung(step):
            return False
        value = trial.intermediate_values[step]
        values = [value] + [
            rival.intermediate_values[step]
            for rival in rivals
            if rival.number != trial.number and step in rival.intermediate_values
        ]
        more = direction == StudyDirection.MAXIMIZE
        last = sorted(values, reverse=more)[max(len(values) // REDUCTION, 1) - 1]
        return value < last if more else value > last

    def _is_rung(self, step: int) -> bool:
        rung = self._first
        while rung < step:
            rung *= REDUCTION
        return rung == step


class Hyperband(BasePruner):
    """Successive halving in brackets that begin it later and later, in case early values mislead.

    A trial's number says which bracket it is in; it is judged against those of its bracket.
    Samplers learn from all trials, as 50 are too few to learn in each bracket apart.
    https://jmlr.org/papers/v18/16-558.html

    Args:
        epochs: of a trial that is not stopped.
    """

    def __init__(self, epochs: int) -> None:
        self._brackets: list[Halving] = []
        first = 1
        while first <= epochs:
            self._brackets.append(Halving(first))
            first *= REDUCTION
        count = len(self._brackets)
        # as in the paper: what a bracket saves by stopping early goes into more trials
        self._shares = [
            -(-count * REDUCTION**later // (later + 1)) for later in reversed(range(count))
        ]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """As successive halving in the trial's bracket."""
        mine = self.bracket(trial.number)
        trials = study.get_trials(deepcopy=False)
        rivals = [other for other in trials if self.bracket(other.number) == mine]
        return self._brackets[mine].stops(trial, rivals, study.direction)

    def bracket(self, number: int) -> int:
        """The bracket of the trial of this number, from 0, the one that begins first."""
        place = zlib.crc32(str(number).encode()) % sum(self._shares)
        bracket = 0
        while place >= self._shares[bracket]:
            place -= self._shares[bracket]
            bracket += 1
        return bracket


class Patient(BasePruner):
    """Stops a trial that has had no better value for a while, whatever the others had.

    Optuna's pruner of this kind waits for values that are worse; the best so far never is.

    Args:
        patience: epochs it waits for a better value.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the best value of the trial is as old as that."""
        step, values = trial.last_step, trial.intermediate_values
        if step is None or step - self._patience not in values:
            return False
        before, now = values[step - self._patience], values[step]
        more = study.direction == StudyDirection.MAXIMIZE
        return now <= before if more else now >= before
