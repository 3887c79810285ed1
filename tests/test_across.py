"""Several studies beside each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from studies import frames_of

from sweeps.errors import SweepError
from sweeps.report.across import across
from sweeps.report.compare.progress import best_so_far
from sweeps.report.figures.progress import progress
from sweeps.report.reading.frames import StudyFrames


def study(name: str, *losses: list[float], state: str = "complete", **more: Any) -> StudyFrames:
    """A trial for each list of values; of all but the first trial the first epoch is reused."""
    return replace(frames_of(*[(state, values, {}) for values in losses], **more), name=name)


def test_studies_are_measured_by_what_all_of_them_reached() -> None:
    """How many epochs were requested, and how long these take, until all reached the value.

    Whether another study had trained them before makes none the better.
    """
    slow = study("slow", [5.0, 4.0, 3.0], [9.0, 2.0])
    quick = study("quick", [2.5, 1.0])
    rows = across([slow, quick]).set_index("study")
    assert rows["best"].tolist() == [2.0, 1.0]
    assert rows["target"].tolist() == [2.0, 2.0]
    assert rows["epochs_to_target"].tolist() == [5, 2]  # one of them reused
    assert rows["seconds_to_target"].tolist() == [2.5, 1.0]
    assert rows["winner"].tolist() == [1, 0]
    assert rows["trained_epochs"].tolist() == [4, 2]


def test_where_more_is_better_the_lower_best_is_the_mark() -> None:
    """An accuracy climbs."""
    low, high = (
        study(name, values, objective="val_accuracy")
        for name, values in (("low", [0.1, 0.3]), ("high", [0.2, 0.4, 0.6]))
    )
    rows = across([low, high])
    assert rows["target"].tolist() == [0.3, 0.3]
    assert rows["epochs_to_target"].tolist() == [2, 2]


def test_trials_that_diverged_cost_epochs_and_reach_nothing() -> None:
    """Whatever their losses were by then."""
    lost = study("lost", [0.1, 0.2], state="diverged")
    assert best_so_far(lost).empty
    rows = across([lost, study("fine", [3.0])]).set_index("study")
    assert rows.loc["lost", "trained_epochs"] == 2
    assert pd.isna(rows.loc["lost", "epochs_to_target"])
    mixed = frames_of(("diverged", [0.1], {}), ("complete", [4.0, 3.0], {}))
    assert best_so_far(mixed)["best"].tolist() == [4.0, 3.0]
    assert best_so_far(mixed)["epochs"].tolist() == [2, 3]


def test_the_best_so_far_never_gets_worse() -> None:
    """It is drawn as steps, a line a study."""
    one, other = study("one", [3.0, 5.0, 2.0], [1.0, 9.0]), study("other", [4.0])
    path = best_so_far(one)
    assert path["best"].tolist() == [3.0, 3.0, 2.0, 1.0, 1.0]
    assert path["epochs"].is_monotonic_increasing
    for by in ("epochs", "seconds"):
        lines = progress([one, other], by).data
        assert [line.name for line in lines] == ["one", "other"]
        assert list(lines[0].y) == [3.0, 2.0, 1.0, 1.0]  # as far as the study went


def test_studies_of_other_metrics_are_not_compared() -> None:
    """The metrics are named."""
    with pytest.raises(SweepError, match="but got val_accuracy, val_loss"):
        across([study("a", [1.0]), study("b", [1.0], objective="val_accuracy")])
