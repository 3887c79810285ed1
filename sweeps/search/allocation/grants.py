"""Who gets the next epochs: a suspended trial that is taken up again, or a new one.

States are stored, so a trial costs nothing to keep and nothing to take up. An allocation therefore
stops no trial; it grants epochs, and what is granted none is suspended.
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
    """What a free worker does next.

    Attributes:
        trial: number of the trial that is taken up again; None: a new one is begun.
        epochs: that it may then have trained in all; of a new one `AllocatingPruner.first` says it.
        why: for people.
    """

    trial: int | None
    epochs: int
    why: str = ""


BEGIN = Grant(trial=None, epochs=0)


class AllocatingPruner(NopPruner):
    """Decides who gets the next epochs, by what a study has and nothing else.

    It is given where Optuna takes a pruner, and to Optuna it is one that stops no trial.
    """

    @abstractmethod
    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """What a free worker does next; None: nothing until a trial has come further.

        Args:
            outlook: of the study's space.
            trials: all that the study has.
            left: how many are still to be begun.
        """

    @abstractmethod
    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """Epochs of a new trial before it is suspended, at least 1.

        Args:
            outlook: of the study's space.
            trials: all others that the study has.
            trial: the new one, with its parameters.
        """

    def most(self, outlook: Outlook, trials: int) -> int | None:
        """The most epochs that so many trials train; None: not limited, or not known before."""
        return None


class WholeTrials(AllocatingPruner):
    """Each trial trains to its end, unless Optuna's pruner stops it."""

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """A new trial, as long as there is to be one."""
        return BEGIN if left else None

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """All."""
        return outlook.points.epochs


class PromotionPruner(AllocatingPruner):
    """Asynchronous successive halving as in its paper: the best of a rung are promoted from it.

    Optuna's SuccessiveHalvingPruner stops a trial that is not among the best when it comes to a
    rung; here it is suspended, and promoted later if it is among them then. Trials that share the
    epochs up to a rung are one result there. https://arxiv.org/abs/1810.05934

    Args:
        min_resource: epochs to the first rung.
        reduction_factor: of so many results at a rung one is promoted; the next rung is so many
            times as far.
    """

    def __init__(self, min_resource: int = 1, reduction_factor: int = 2) -> None:
        at_least("min_resource", min_resource, 1)
        at_least("reduction_factor", reduction_factor, 2)
        self._first = min_resource
        self._reduction = reduction_factor

    def next(self, outlook: Outlook, trials: Sequence[FrozenTrial], left: int) -> Grant | None:
        """The promotion from the highest rung that has one; else a new trial."""
        curves = outlook.curves(trials)
        rungs = self._rungs(outlook)
        for rung, target in reversed([*pairwise(rungs)]):
            if curve := self._promotable(curves, rung):
                why = f"among the best {1 / self._reduction:.0%} after epoch {rung}"
                return Grant(trial=curve.number, epochs=target, why=why)
        return BEGIN if left else None

    def first(self, outlook: Outlook, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
        """To the first rung of which the study does not know the result yet."""
        depth, rungs = outlook.curves(trials).depth_of(trial), self._rungs(outlook)
        return next((rung for rung in rungs if rung > depth), rungs[-1])

    def _rungs(self, outlook: Outlook) -> list[int]:
        rungs = [self._first]
        while rungs[-1] < outlook.points.epochs:
            rungs.append(min(rungs[-1] * self._reduction, outlook.points.epochs))
        return rungs

    def _promotable(self, curves: Curves, rung: int) -> Curve | None:
        """A suspended trial whose result is among the best of the rung, and was not promoted."""
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
        best = sorted(results, key=lambda node: results[node])  # of equal ones the earliest trial's
        for node in best[: len(best) // self._reduction]:
            if node in waiting and node not in promoted:
                return waiting[node]
        return None


def at_least(name: str, got: int, least: int) -> None:
    """Refuse a number that is lower.

    Raises:
        ValueError: it is.
    """
    if got < least:
        raise ValueError(f"{name} must be at least {least}, but got {got}.")
