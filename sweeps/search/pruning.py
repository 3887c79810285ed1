"""Pruners by class name; decisions are a function of the reported values alone.

Optuna's successive halving stores on the trial which rungs it has passed, each time it is called;
called again after a crash, it may decide otherwise. The pruners here replace Optuna's and only
read. A trial is judged by the best value that it has reported so far.
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
"""Default percentile of PercentilePruner: trials in the best 25 % continue."""

FULL_TRIALS_FIRST = 5
"""Complete trials before PercentilePruner and MedianPruner stop the first one."""

FIRST_RUNG = 2
"""First rung of SuccessiveHalvingPruner, in epochs; after a single epoch noise dominates."""

REDUCTION = 3
"""Default reduction factor: one in three trials is promoted, and each rung is at three times the
epochs of the previous one."""

PATIENCE = 5
"""Epochs without a better value after which PatientPruner stops a trial."""


class Halving(BasePruner):
    """Asynchronous successive halving: at each rung, only the best trials so far continue.

    It never waits: a trial that reaches a rung is judged against those that reached it earlier.
    https://arxiv.org/abs/1810.05934

    Args:
        min_resource: epochs to the first rung.
        reduction_factor: one in this many trials continues at a rung; each rung is at this many
            times the epochs of the previous one.

    Attributes:
        least_epochs: epochs per trial below which no trial would be stopped.
    """

    def __init__(self, min_resource: int = FIRST_RUNG, reduction_factor: int = REDUCTION) -> None:
        at_least("min_resource", min_resource, 1)
        at_least("reduction_factor", reduction_factor, 2)
        self._first = min_resource
        self._reduction = reduction_factor
        self.least_epochs = min_resource + 1

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is at a rung and not among the best there."""
        return self.stops(trial, study.get_trials(deepcopy=False), study.direction)

    def stops(
        self, trial: FrozenTrial, rivals: Sequence[FrozenTrial], direction: StudyDirection
    ) -> bool:
        """Like `prune`, but against the given trials, which may include `trial`."""
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
    """Successive halving in brackets with ever later first rungs, in case early values mislead.

    A trial's number determines its bracket, and it is judged against trials of that bracket.
    Samplers learn from all trials, as 50 are too few to learn from each bracket by itself.
    https://jmlr.org/papers/v18/16-558.html

    Args:
        max_resource: epochs of a complete trial.
        min_resource: epochs to the first rung of the first bracket.
        reduction_factor: as in `Halving`; also the factor between first rungs of brackets.

    Attributes:
        least_epochs: epochs per trial below which there would be only one bracket.
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
        # as in the paper: brackets that stop trials earlier get more trials
        self._shares = [
            -(-count * reduction_factor**later // (later + 1)) for later in reversed(range(count))
        ]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether successive halving stops the trial within its bracket."""
        mine = self.bracket(trial.number)
        trials = study.get_trials(deepcopy=False)
        rivals = [other for other in trials if self.bracket(other.number) == mine]
        return self._brackets[mine].stops(trial, rivals, study.direction)

    def bracket(self, number: int) -> int:
        """Bracket of a trial number; bracket 0 has the earliest first rung."""
        place = zlib.crc32(str(number).encode()) % sum(self._shares)
        bracket = 0
        while place >= self._shares[bracket]:
            place -= self._shares[bracket]
            bracket += 1
        return bracket


class Patient(BasePruner):
    """Stops a trial without improvement for some epochs, independent of other trials.

    Optuna's PatientPruner compares reported values and needs them to get worse; here the best value
    so far has to improve.

    Args:
        patience: epochs to wait for a better value.

    Attributes:
        least_epochs: epochs per trial below which no trial would be stopped.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        at_least("patience", patience, 1)
        self._patience = patience
        self.least_epochs = patience + 2

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the best value has not improved for `patience` epochs."""
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
    """Create a pruner by class name, with arguments, for trials of `epochs` epochs.

    Raises:
        ConfigError: the class does not exist, or the arguments are invalid.
    """
    return PRUNERS.maker(name, args)(max_resource=epochs)


def least_epochs(pruner: BasePruner) -> int:
    """Epochs per trial below which the pruner has no effect; 1 if that is unknown."""
    return pruner.least_epochs if isinstance(pruner, (Halving, Hyperband, Patient)) else 1


def _best_until(trial: FrozenTrial, step: int, direction: StudyDirection) -> float:
    """Best value that a trial reported up to a step."""
    values = [value for at, value in trial.intermediate_values.items() if at <= step]
    return max(values) if direction == StudyDirection.MAXIMIZE else min(values)
