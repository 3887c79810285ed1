"""Advice on the search space: ranges to widen or narrow, and parameters to fix."""

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
"""How many of the best results are evidence."""

_FAIR = 0.5  # of an optimizer's number of complete trials that the others need, too
_DIVERGED = 0.1  # share of an optimizer's trials
_MATTERS = 0.01  # below this importance a parameter does not matter
_ENOUGH_TRIALS = 20  # complete trials needed
_ENOUGH_VALUES = 3  # of the parameter
_OWN: Mapping[str, tuple[str, list[Any]]] = {
    "SGD": ("momentum", [0.0, 0.5, 0.9]),
    "Adam": ("betas", [[0.9, 0.999], [0.9, 0.99]]),
    "AdamW": ("weight_decay", [0.0, 0.01, 0.1]),
    "RMSprop": ("alpha", [0.9, 0.99]),
    "Adagrad": ("lr_decay", [0.0, 0.001, 0.01]),
}
"""What is worth searching of an optimizer once the others are out."""


def at_the_ends(
    space: Described, frames: StudyFrames, winner: Winner, idle: Mapping[str, float]
) -> Iterator[Advice]:
    """Widen the range of each important number whose best value is at an end of it."""
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
        if name == "lr":  # evidence from one optimizer holds for it alone
            where = where or _own_table(choices_of(space, "optimizer"), optimizer)
            if highest >= value and not down:
                continue
        proposed = wider(name, entry, down=down)
        if proposed is not None and _can_depend(space, name, where):
            end = "lowest" if down else "highest"
            yield Advice(
                seen=f"The winner's {name}, {value:g}, is the {end} that the space has.",
                evidence=(winner.trial,),
                changes=(Change(name, proposed, where),),
            )


def optimizers(space: Described, frames: StudyFrames, results: pd.DataFrame) -> Iterator[Advice]:
    """Fix the optimizer if all of the best trials have the same one.

    Only if the others had an equal chance; otherwise a comparison is needed.
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
                seen=f"{name} has the best result, but that does not make it the best optimizer, "
                f"as not all had as good a chance; distinct results trained to their end: {ended}.",
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
        seen=f"All of the {TOP} best results are of {name}; trained to their end: {counts}.",
        evidence=evidence_of(top),
        changes=(Change("optimizer", name), *own),
    )


def _can_compare(frames: StudyFrames) -> bool:
    """Whether a sweep with the settings of the study can use --compare."""
    settled = frames.settings.get("sampler") in SETTLED
    return not (frames.second or settled or is_function(frames.space))


def diverging(space: Described, frames: StudyFrames, results: pd.DataFrame) -> Iterator[Advice]:
    """Narrow the rates of each optimizer of which a tenth of the trials diverged, at least two.

    The border is the lowest rate that diverged above all rates with results, except the worse half
    of
    the complete trials: rates that are good, not known to be bad, or untried and below the border
    are kept.
    """
    choices = choices_of(space, "optimizer") or [*frames.trials["optimizer"].unique()]
    for name, rows in frames.trials.groupby("optimizer"):
        optimizer, ranked = str(name), results[results["optimizer"] == name]
        complete = ranked[ranked["state"] == COMPLETE]
        worse = complete.tail(len(complete) // 2)
        good = ranked.drop(index=worse.index)["lr"].max()  # missing if none is ranked
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
    """The numbers of low importance, with their importance.

    Only those with several values among the complete trials that are not missing in most trials.
    Learning rates of several optimizers are never among them, as each optimizer has its own best
    one.
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
    """Fix the parameters of low importance."""
    complete = ranked[ranked["state"] == COMPLETE]
    for name, share in idle.items():
        where, _ = entry_of(space, name, winner.params)
        yield Advice(
            seen=f"{name} hardly matters, so that it need not be searched: it explains {share:.1%} "
            f"of what tells the best tenth of {len(complete)} complete trials from the others "
            "(PED-ANOVA).",
            evidence=evidence_of(complete),
            changes=(Change(name, winner.params[name], where),),
        )


def _own_table(choices: Sequence[Any], optimizer: str) -> tuple[str, str] | None:
    """The condition for advice on one optimizer; None if there is no other."""
    return ("optimizer", optimizer) if len(choices) > 1 else None


def _can_depend(space: Described, name: str, where: tuple[str, str] | None) -> bool:
    """Whether an entry may have this condition: a parameter may depend on one other only."""
    parent = parent_of(space, name)
    return parent is None or (where is not None and where[0] == parent)
