"""Pruners by the names of their classes; a verdict depends on what trials have reported alone.

Optuna's own successive halving writes down on a trial, each time it is asked, which rungs the trial
has passed; asked again after a crash, it answers otherwise. The pruners here, which stand in for
Optuna's, only read.
What is reported after each epoch is its value; a trial is judged by the best of them so far.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import optuna.pruners
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from sweeps.search.allocation.grants import PromotionPruner, at_least
from sweeps.search.classes import Classes
from sweeps.search.frugal import FrugalPruner
from sweeps.search.names import FRUGAL_PRUNER, NO_PRUNER, PROMOTION_PRUNER

PERCENTILE = "PercentilePruner"

KEPT = 25.0
"""Per cent of the complete trials among which PercentilePruner wants a trial to be."""

FULL_TRIALS_FIRST = 5
"""Trials that must have trained to their end before PercentilePruner and MedianPruner stop any."""

FIRST_RUNG = 2
"""Epochs of a trial before SuccessiveHalvingPruner first judges it; after one, noise decides too
much."""

REDUCTION = 3
"""At a rung the best of so many go on; the next rung is so many times as far."""

PATIENCE = 5
"""Epochs without a better value after which PatientPruner stops a trial."""


class Halving(BasePruner):
    """Asynchronous successive halving: at each rung the best of those that came so far go on.

    It never waits: a trial is judged when it comes to a rung, against those that were there before
    it; the first ones go on if they are the best so far. https://arxiv.org/abs/1810.05934

    Args:
        min_resource: epochs to the first rung.
        reduction_factor: at a rung the best of so many go on; the next is so many times as far.

    Attributes:
        least_epochs: of a trial; with fewer none would be stopped.
    """

    def __init__(self, min_resource: int = FIRST_RUNG, reduction_factor: int = REDUCTION) -> None:
        at_least("min_resource", min_resource, 1)
        at_least("reduction_factor", reduction_factor, 2)
        self._first = min_resource
        self._reduction = reduction_factor
        self.least_epochs = min_resource + 1

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
        value = _best_until(trial, step, direction)
        values = [value] + [
            _best_until(rival, step, direction)
            for rival in rivals
            if rival.number != trial.number and step in rival.intermediate_values
        ]
        more = direction == StudyDirection.MAXIMIZE
        last = sorted(values, reverse=more)[max(len(values) // self._reduction, 1) - 1]
        return value < last if more else value > last

    def _is_rung(self, step: int) -> bool:
        rung = self._first
        while rung < step:
            rung *= self._reduction
        return rung == step


class Hyperband(BasePruner):
    """Successive halving in brackets that begin it later and later, in case early values mislead.

    A trial's number says which bracket it is in; it is judged against those of its bracket.
    Samplers learn from all trials, as 50 are too few to learn in each bracket apart.
    https://jmlr.org/papers/v18/16-558.html

    Args:
        max_resource: epochs of a trial that is not stopped.
        min_resource: epochs to the first rung of the bracket that begins first.
        reduction_factor: as in `Halving`; each bracket begins so many times as late as the last.

    Attributes:
        least_epochs: of a trial; with fewer there would be but one bracket.
    """

    def __init__(
        self, max_resource: int, min_resource: int = 1, reduction_factor: int = REDUCTION
    ) -> None:
        self._brackets = [Halving(min_resource, reduction_factor)]
        first = min_resource * reduction_factor
        self.least_epochs = first
        while first <= max_resource:
            self._brackets.append(Halving(first, reduction_factor))
            first *= reduction_factor
        count = len(self._brackets)
        # as in the paper: what a bracket saves by stopping early goes into more trials
        self._shares = [
            -(-count * reduction_factor**later // (later + 1)) for later in reversed(range(count))
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

    Attributes:
        least_epochs: of a trial; with fewer none would be stopped.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        at_least("patience", patience, 1)
        self._patience = patience
        self.least_epochs = patience + 2

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the best value of the trial is as old as that."""
        step = trial.last_step
        if step is None or step - self._patience not in trial.intermediate_values:
            return False
        before = _best_until(trial, step - self._patience, study.direction)
        return _best_until(trial, step, study.direction) == before


PRUNERS: Classes[BasePruner] = Classes(
    kind="pruner",
    base=BasePruner,
    optuna=optuna.pruners,
    own={
        "SuccessiveHalvingPruner": Halving,
        "HyperbandPruner": Hyperband,
        "PatientPruner": Patient,
        FRUGAL_PRUNER: FrugalPruner,
        PROMOTION_PRUNER: PromotionPruner,
        NO_PRUNER: NopPruner,
    },
    defaults={
        PERCENTILE: {"percentile": KEPT, "n_startup_trials": FULL_TRIALS_FIRST},
        "MedianPruner": {"n_startup_trials": FULL_TRIALS_FIRST},
    },
    supplied=("max_resource",),
    nicknames={"asha": "SuccessiveHalvingPruner"},
)


def make_pruner(name: str, args: Mapping[str, Any], epochs: int) -> BasePruner:
    """The pruner of a class, with further arguments of it, for trials of so many epochs.

    Raises:
        ConfigError: there is no such class, or it refuses the arguments.
    """
    return PRUNERS.maker(name, args)(max_resource=epochs)


def least_epochs(pruner: BasePruner) -> int:
    """The fewest epochs of a trial with which the pruner can do what it is for, as far as known."""
    return pruner.least_epochs if isinstance(pruner, (Halving, Hyperband, Patient)) else 1


def _best_until(trial: FrozenTrial, step: int, direction: StudyDirection) -> float:
    """The best value that a trial had reported by then."""
    values = [value for at, value in trial.intermediate_values.items() if at <= step]
    return max(values) if direction == StudyDirection.MAXIMIZE else min(values)
