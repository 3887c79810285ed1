"""The best value of a study by epochs and time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sweeps.report.reading.frames import StudyFrames
from trainer.metrics import EPOCH_SECONDS
from trainer.tracking.record import DIVERGED, FAILED


def best_so_far(frames: StudyFrames) -> pd.DataFrame:
    """The best value of the objective after each epoch of the study.

    Returns:
        One row per epoch in the order of training, from the first value on: epochs (requested so
        far), seconds (of training that these take), best. Epochs of trials that diverged or failed
        are counted, but their values are not.
    """
    if frames.curves.empty:
        return pd.DataFrame({"epochs": [], "seconds": [], "best": []})
    trials = frames.trials.set_index("trial")
    began = frames.curves["trial"].map(trials["started_at"])
    came = frames.curves["ended_at"].where(frames.curves["ended_at"] > began, began)
    rows = frames.curves.assign(came=came).sort_values(["came", "trial", "epoch"])
    counts = ~rows["trial"].map(trials["state"]).isin((DIVERGED, FAILED))
    values = rows[frames.objective].where(counts & np.isfinite(rows[frames.objective]))
    best = values.cummax() if frames.maximize else values.cummin()
    seconds = rows[EPOCH_SECONDS].cumsum()
    path = pd.DataFrame({"epochs": range(1, len(rows) + 1), "seconds": seconds, "best": best})
    return path.dropna(subset="best").reset_index(drop=True)


def reached(path: pd.DataFrame, target: float, *, maximize: bool) -> pd.DataFrame:
    """The row of `best_so_far` in which the target was reached; empty: it was not."""
    best = path["best"]
    return path[(best >= target) if maximize else (best <= target)].head(1)
