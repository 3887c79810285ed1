"""All advice on a study: changes of its space, then flags and commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from sweeps.report.advice.advice import Advice, evidence_of
from sweeps.report.advice.space_advice import TOP, at_the_ends, diverging, fixed, idle, optimizers
from sweeps.report.compare.ranking import OPEN, Winner, distinct
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.showing import short
from sweeps.space.described import Described, changed, is_function
from trainer.tracking.record import BEST, BEST_EPOCH, COMPLETE

_ENQUEUED = 5
"""Number of the best trials that are tried first where more epochs are advised."""


def advise(
    frames: StudyFrames,
    ranked: pd.DataFrame,
    winner: Winner,
    confirmed: pd.DataFrame,
    importances: Mapping[str, float],
) -> tuple[Advice, ...]:
    """What to try next. Each change applies to the space with the earlier changes.

    There is no advice while the winner may be trained further, since its findings may change.

    Args:
        frames: the study.
        ranked: the result of `sweeps.report.compare.ranking.rank`.
        winner: the best trial.
        confirmed: the result of `sweeps.report.compare.confirmed.compare`.
        importances: the result of `sweeps.report.compare.importance.importances`.
    """
    found: list[Advice] = []
    if winner.state in OPEN:
        return ()

    def space() -> Described:
        known = {} if is_function(frames.space) else frames.space
        return changed(known, [change for item in found for change in item.changes])

    results = distinct(frames, ranked)
    unimportant = idle(winner, importances, ranked)
    found += at_the_ends(space(), frames, winner, unimportant)
    found += optimizers(space(), frames, results)
    found += diverging(space(), frames, results)
    found += fixed(space(), winner, unimportant, ranked)
    found += _epochs(frames, ranked, results, winner)
    found += _unconfirmed(frames, ranked, winner, confirmed)
    return tuple(found)


def _epochs(
    frames: StudyFrames, ranked: pd.DataFrame, results: pd.DataFrame, winner: Winner
) -> Iterator[Advice]:
    """Advice to train more or fewer epochs."""
    won = ranked[ranked["trial"] == winner.trial].iloc[0]
    if winner.epoch == won["epochs"] == won["asked_epochs"]:
        known = min(_ENQUEUED, len(ranked))
        enqueued = {
            "--trials": str(frames.asked + known),
            "--enqueue": f"study:{frames.name}:top={known}",
        }
        yield Advice(
            seen=f"The winner's best epoch, {winner.epoch}, is its last.",
            evidence=(winner.trial,),
            flags={"--epochs": str(2 * winner.epoch)}
            # a function declares no parameters, so that points of another study cannot be enqueued
            | ({} if is_function(frames.space) else enqueued),
        )
        return
    top = results[results["state"] == COMPLETE].head(TOP)
    last = int(top[BEST_EPOCH].max()) if len(top) else 0
    if len(top) == TOP and 2 * last <= won["asked_epochs"]:
        yield Advice(
            seen=f"None of the {TOP} best complete results improved after epoch {last} of "
            f"{won['asked_epochs']}.",
            evidence=evidence_of(top),
            flags={"--epochs": str(last + max(1, last // 4))},
        )


def _unconfirmed(
    frames: StudyFrames, ranked: pd.DataFrame, winner: Winner, confirmed: pd.DataFrame
) -> Iterator[Advice]:
    """Advice to confirm a trial that is better than the confirmed winner."""
    name, first, trials = BEST + frames.objective, ranked.iloc[0], set(confirmed["trial"])
    is_better = first[name] != winner.value  # equal values may be one shared epoch
    if is_better and winner.trial in trials and first["trial"] not in trials:
        yield Advice(
            seen=f"Trial {first['trial']} has a better {name}, {short(first[name])}, than the "
            "winner, but was not trained from other seeds.",
            evidence=(int(first["trial"]),),
            command=f"python -m sweeps.confirm --study {frames.name}",
        )
