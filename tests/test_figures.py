"""Figures show of a study what its trials can bear."""

from __future__ import annotations

from typing import Any

from studies import frames_of

from sweeps.report.figures import decays
from sweeps.report.ranking import rank
from sweeps.report.summary import summarize

Trial = tuple[str, list[float], dict[str, Any]]


def scheduled(count: int, state: str = "complete") -> list[Trial]:
    """Trials whose value depends on gamma alone where they were trained to the end, else on lr."""
    trials = []
    for number in range(count):
        params = {"gamma": 0.1 + 0.2 * (number % 4), "step_size": 1 + number // 4 % 5}
        params["lr"] = (0.01, 0.02, 0.05)[number % 3]
        values = [2.5 + params["gamma"], 2.0 + params["gamma"], 1.0 + params["gamma"]]
        if state == "pruned":
            values = [0.1 * params["lr"]]
        trials.append((state, values, params))
    return trials


def test_a_schedule_is_drawn_for_trials_on_which_it_acted() -> None:
    """One epoch says nothing of a decay after five, however good it was."""
    frames = frames_of(*scheduled(8), *scheduled(12, "pruned"))
    figure = decays(frames, rank(frames))
    assert figure is not None
    assert "of 8 complete trials" in figure.layout.title.text
    assert len(figure.data[0].x) == 8
    assert min(figure.data[0].marker.color) > 1


def test_too_few_complete_trials_are_not_drawn() -> None:
    """Three points are no pattern."""
    frames = frames_of(*scheduled(3), *scheduled(12, "pruned"))
    assert decays(frames, rank(frames)) is None


def test_importance_is_that_among_complete_trials() -> None:
    """Trials of one epoch do not make a schedule unimportant; of too few complete ones none is."""
    trials = [*scheduled(20), *scheduled(60, "pruned")]
    known = summarize(frames_of(*trials)).importances
    assert max(known, key=lambda name: known[name]) == "gamma"
    assert known["gamma"] > 0.5
    assert summarize(frames_of(*scheduled(9), *scheduled(60, "pruned"))).importances == {}
