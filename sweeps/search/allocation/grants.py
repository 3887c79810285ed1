"""Policies that decide which trial gets the next epochs: a suspended one, or a new one.

States are stored, so suspending and resuming a trial costs nothing. These policies therefore stop
no trial; a trial without further epochs stays suspended.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial

from sweeps.search.allocation.curves import Curve, Curves
from sweeps.search.allocation.outlook import Outlook


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Decision about the next trial for a free worker.

    Attributes:
        trial: number of the trial to resume; None: start a new one.
        epochs: total number of epochs that the trial may then train; for a new trial,
            `AllocatingPruner.first` decides that.
        why: reason to show to the user.
    """

    trial: int | None
    epochs: int
    why: str = ""


BEGIN = Grant(trial=None, epochs=0)


class AllocatingPruner(NopPruner):
    """Base class of policies that allocate epochs; decisions are a function of the study's trials.

    It is a pruner in Optuna's interface, but one that never prunes.
    """

    @abstractmethod
    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """Decide what a free worker does next; None: wait until another epoch is finished.

        Args:
            outlook: outlook of the study.
            trials: all trials of the study.
            left: number of trials still to be started.
        """

    @abstractmethod
    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """Number of epochs of a new trial before it is suspended, at least 1.

        Args:
            outlook: outlook of the study.
            trials: all other trials of the study.
            trial: the new trial, with its parameters.
        """

    def most(self, outlook: Outlook, trials: int) -> int | None:
        """Limit of epochs for a study of `trials` trials; None: unlimited or unknown."""
        return None


class WholeTrials(AllocatingPruner):
    """Trains each trial to the end, unless Optuna's pruner stops it."""

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """A new trial, as long as some are left."""
        return BEGIN if left else None

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """All epochs."""
        return outlook.points.epochs


class PromotionPruner(AllocatingPruner):
    """Asynchronous successive halving with promotion, as in https://arxiv.org/abs/1810.05934.

    Optuna's SuccessiveHalvingPruner stops a trial that is not among the best when it reaches a
    rung. Here the trial is suspended, and promoted if it is among the best later. Trials that share
    all epochs up to a rung count as one result there.

    Args:
        min_resource: epochs to the first rung.
        reduction_factor: one in this many results is promoted from a rung; each rung is at this
            many times the epochs of the previous one.
    """

    def __init__(self, min_resource: int = 1, reduction_factor: int = 2) -> None:
        at_least("min_resource", min_resource, 1)
        at_least("reduction_factor", reduction_factor, 2)
        self._first = min_resource
        self._reduction = reduction_factor

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """A promotion from the highest rung possible, else a new trial."""
        curves = outlook.curves(trials)
        rungs = self._rungs(outlook)
        for rung, target in reversed([*pairwise(rungs)]):
            if curve := self._promotable(curves, rung):
                why = f"among the best {1 / self._reduction:.0%} after epoch {rung}"
                return Grant(trial=curve.number, epochs=target, why=why)
        return BEGIN if left else None

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """Epochs to the first rung at which the trial's result is not known yet."""
        depth, rungs = outlook.curves(trials).depth_of(trial), self._rungs(outlook)
        return next((rung for rung in rungs if rung > depth), rungs[-1])

    def _rungs(self, outlook: Outlook) -> list[int]:
        rungs = [self._first]
        while rungs[-1] < outlook.points.epochs:
            rungs.append(min(rungs[-1] * self._reduction, outlook.points.epochs))
        return rungs

    def _promotable(self, curves: Curves, rung: int) -> Curve | None:
        """A suspended trial among the best of a rung whose result was not promoted yet."""
        results: dict[int, float] = {}
        waiting: dict[int, Curve] = {}
        promoted = set()
        for curve in curves.own:
            node = curve.point.nodes[rung - 1]
            if curve.diverged and len(curve.values) < rung:
                results[curve.point.nodes[len(curve.values)]] = float("inf")
            elif len(curve.values) >= rung:
                results[node] = min(curve.values[:rung])
                if not curve.running or curve.granted > rung:
                    promoted.add(node)
                elif curve.suspended:
                    waiting.setdefault(node, curve)
        best = sorted(results, key=lambda node: results[node])  # equal ones stay in trial order
        for node in best[: len(best) // self._reduction]:
            if node in waiting and node not in promoted:
                return waiting[node]
        return None


def at_least(name: str, got: int, least: int) -> None:
    """Check a lower bound.

    Raises:
        ValueError: `got` is lower.
    """
    if got < least:
        raise ValueError(f"{name} must be at least {least}, but got {got}.")
