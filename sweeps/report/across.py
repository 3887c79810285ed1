"""Comparison of several studies: their best values, and the epochs and time to reach them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweeps.errors import SweepError
from sweeps.report.compare.progress import best_so_far, reached
from sweeps.report.compare.ranking import STATES
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.summary import summarize


def across(studies: Sequence[StudyFrames]) -> pd.DataFrame:
    """One row per study.

    Columns, in this order:
        study, objective: str.
        asked: target number of trials; int64.
        trials, complete, pruned, suspended, running, interrupted, diverged, failed: number of
            trials, of all and by state; int64.
        winner: number of the best trial; Int64. best: its value; float64.
        epochs, trained_epochs, reused_epochs: number of requested epochs, and of these trained and
            reused; int64.
        seconds: time from the first start to the last end, without long pauses; float64.
        target: the best value that all studies reached; float64.
        epochs_to_target, seconds_to_target: epochs requested until the study reached the target,
            and their training time; Int64 and float64. Reused epochs count like trained ones, since
            which of two studies trained them depends on their order.

    Raises:
        SweepError: the studies have different objectives.
    """
    objectives = {it.objective for it in studies}
    if len(objectives) > 1:
        raise SweepError(
            f"Compared studies must have the same objective, but got "
            f"{', '.join(sorted(objectives))}."
        )
    more = studies[0].maximize
    paths = [best_so_far(it) for it in studies]
    bests = [path["best"].iloc[-1] if len(path) else np.nan for path in paths]
    target = pd.Series(bests).min() if more else pd.Series(bests).max()
    rows = []
    for frames, path in zip(studies, paths, strict=True):
        summary = summarize(frames)
        row = reached(path, target, maximize=more)
        rows.append(
            {
                "study": frames.name,
                "objective": frames.objective,
                "asked": summary.asked,
                "trials": summary.trials,
                **{state: summary.counts.get(state, 0) for state in STATES},
                "winner": summary.winner.trial if summary.winner else None,
                "best": summary.winner.value if summary.winner else np.nan,
                "epochs": summary.epochs,
                "trained_epochs": summary.trained_epochs,
                "reused_epochs": summary.reused_epochs,
                "seconds": summary.seconds,
                "target": target,
                "epochs_to_target": row["epochs"].iloc[0] if len(row) else None,
                "seconds_to_target": row["seconds"].iloc[0] if len(row) else np.nan,
            }
        )
    return pd.DataFrame(rows).astype(
        {"winner": "Int64", "epochs_to_target": "Int64", "seconds": "float64"}
    )
