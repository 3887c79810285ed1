"""Advice on the search space: ranges to widen or cut, and parameters to fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sweeps.report.advice.advice import Advice, evidence_of
from sweeps.report.advice.proposals import below, numbers_of, rates_below, wider
from sweeps.report.compare.ranking import Winner
from sweeps.report.reading.frames import StudyFrames
from sweeps.search.names import SETTLED
from sweeps.space.described import (
    Change,
    Described,
    choices_of,
    entry_of,
    is_function,
    parent_of,
)
from trainer.tracking.record import COMPLETE, DIVERGED

TOP = 10
"""Number of best results that count as evidence."""

_FAIR = 0.5  # complete results of the other optimizers, relative to the best one's, that suffice
_DIVERGED = 0.1  # share of diverged trials from which on an optimizer's rates are too high
_MATTERS = 0.01  # importance below which a parameter may be fixed
_ENOUGH_TRIALS = 20  # complete trials that this takes
_ENOUGH_VALUES = 3  # values of the parameter that this takes
_OWN: Mapping[str, tuple[str, list[Any]]] = {
    "SGD": ("momentum", [0.0, 0.5, 0.9]),
    "Adam": ("betas", [[0.9, 0.999], [0.9, 0.99]]),
    "AdamW": ("weight_decay", [0.0, 0.01, 0.1]),
    "RMSprop": ("alpha", [0.9, 0.99]),
    "Adagrad": ("lr_decay", [0.0, 0.001, 0.01]),
}
"""Argument worth searching once only this optimizer is left, and its values."""


def at_the_ends(
    space: Described, frames: StudyFrames, winner: Winner, idle: Mapping[str, float]
) -> Iterator[Advice]:
    """Advice to widen the range of each parameter whose best value is at its end."""
    optimizer = str(winner.params.get("optimizer"))
    lost = frames.trials[frames.trials["state"] == DIVERGED]
    highest = lost.loc[lost["optimizer"] == optimizer, "lr"].max()
    for name, value in winner.params.items():
        if isinstance(value, (bool, str)) or name in idle:
            continue
        where, entry = entry_of(space, name, winner.params)
        numbers = numbers_of(entry)
        if len(numbers) < 2 or value not in (numbers[0], numbers[-1]):
            continue
        down = value == numbers[0]
        if name == "step_size" and not down:  # its upper bound is the number of epochs
            continue
        if name == "lr":  # each optimizer has its own range
            where = where or _own_table(choices_of(space, "optimizer"), optimizer)
            if highest >= value and not down:
                continue
        proposed = wider(name, entry, down=down)
        if proposed is not None and _can_depend(space, name, where):
            end = "lowest" if down else "highest"
            yield Advice(
                seen=f"The winner's {name}, {value:g}, is the {end} of the space.",
                evidence=(winner.trial,),
                changes=(Change(name, proposed, where),),
            )


def optimizers(space: Described, frames: StudyFrames, results: pd.DataFrame) -> Iterator[Advice]:
    """Advice to search only the optimizer that has all of the best results.

    If the others had too few complete results for that, the advice is to compare optimizers.
    """
    top = results.head(TOP)
    name = str(top["optimizer"].iloc[0])
    complete = results.loc[results["state"] == COMPLETE, "optimizer"].value_counts()
    choices = choices_of(space, "optimizer") or [*results["optimizer"].unique()]
    if len(top) < TOP or len(choices) < 2 or parent_of(space, "optimizer"):
        return
    least = max(1, _FAIR * complete.get(name, 0))
    if any(complete.get(it, 0) < least for it in choices if it != name):
        if not frames.compare:
            ended = ", ".join(f"{complete.get(it, 0)} of {it}" for it in choices)
            yield Advice(
                seen=f"{name} has the best result, but the optimizers had unequal budgets; "
                f"distinct complete results: {ended}.",
                evidence=evidence_of(top),
                flags={"--compare": "optimizer"} if _can_compare(frames) else {},
            )
        return
    if top["optimizer"].nunique() > 1:
        return
    argument, values = _OWN.get(name, ("", []))
    is_searched = argument in space or parent_of(space, argument)
    own = () if is_searched or not argument else (Change(argument, values),)
    counts = ", ".join(f"{count} of {it}" for it, count in complete.items())
    yield Advice(
        seen=f"All of the {TOP} best results are of {name}; complete results: {counts}.",
        evidence=evidence_of(top),
        changes=(Change("optimizer", name), *own),
    )


def _can_compare(frames: StudyFrames) -> bool:
    """Whether the study's settings allow --compare."""
    settled = frames.settings.get("sampler") in SETTLED
    return not (frames.second or settled or is_function(frames.space))


def diverging(space: Described, frames: StudyFrames, results: pd.DataFrame) -> Iterator[Advice]:
    """Advice to cut the learning rates of each optimizer that often diverged.

    That is at least twice, and in a tenth of its trials. The border is the lowest diverged rate
    above all rates of its results, not counting the worse half of the complete ones. Good results
    and rates below the border that were not tried are kept.
    """
    choices = choices_of(space, "optimizer") or [*frames.trials["optimizer"].unique()]
    for name, rows in frames.trials.groupby("optimizer"):
        optimizer, ranked = str(name), results[results["optimizer"] == name]
        complete = ranked[ranked["state"] == COMPLETE]
        worse = complete.tail(len(complete) // 2)
        good = ranked.drop(index=worse.index)["lr"].max()  # missing where none is ranked
        lost = rows[(rows["state"] == DIVERGED) & ~(rows["lr"] <= good)]
        if len(lost) < 2 or len(lost) < _DIVERGED * len(rows) or optimizer not in choices:
            continue
        border = float(lost["lr"].min())
        where, entry = entry_of(space, "lr", {"optimizer": optimizer})
        where = where or _own_table(choices, optimizer)
        proposed = below(entry, border)
        if proposed is None:
            tried = rows.loc[rows["lr"] < border, "lr"] if entry is None else rows["lr"].head(0)
            proposed = rates_below(border, float(tried.min()) if len(tried) else None)
        if proposed != entry and _can_depend(space, "lr", where):
            yield Advice(
                seen=f"{optimizer} diverged in {len(lost)} of {len(rows)} trials, "
                f"from lr {border:g} on.",
                evidence=evidence_of(lost),
                changes=(Change("lr", proposed, where),),
            )


def idle(
    winner: Winner, importances: Mapping[str, float], ranked: pd.DataFrame
) -> dict[str, float]:
    """Numeric parameters of low importance, with their importance.

    Several of their values must have complete trials, none of them most of the trials. lr is only
    included for a single optimizer, since each optimizer has its own best one.
    """
    complete = ranked[ranked["state"] == COMPLETE]
    several = complete["optimizer"].nunique() > 1
    idle = {}
    for name, share in importances.items():
        if share >= _MATTERS or isinstance(winner.params.get(name, ""), str):
            continue
        if name == "lr" and several:
            continue
        counts = complete[name].value_counts()
        if len(counts) >= _ENOUGH_VALUES and 2 * counts.max() <= len(complete) >= _ENOUGH_TRIALS:
            idle[name] = share
    return idle


def fixed(
    space: Described, winner: Winner, idle: Mapping[str, float], ranked: pd.DataFrame
) -> Iterator[Advice]:
    """Advice to fix parameters of low importance."""
    complete = ranked[ranked["state"] == COMPLETE]
    for name, share in idle.items():
        where, _ = entry_of(space, name, winner.params)
        yield Advice(
            seen=f"{name} hardly matters and need not be searched: its importance for the best "
            f"tenth of {len(complete)} complete trials is {share:.1%} (PED-ANOVA).",
            evidence=evidence_of(complete),
            changes=(Change(name, winner.params[name], where),),
        )


def _own_table(choices: Sequence[Any], optimizer: str) -> tuple[str, str] | None:
    """The condition of an entry for one optimizer; None if there is only one."""
    return ("optimizer", optimizer) if len(choices) > 1 else None


def _can_depend(space: Described, name: str, where: tuple[str, str] | None) -> bool:
    """Whether the parameter may have this condition: it can depend on one parent only."""
    parent = parent_of(space, name)
    return parent is None or (where is not None and where[0] == parent)
