"""What figures show, and how far their axes go."""

from __future__ import annotations

import math
from typing import Any

import pytest
from studies import frames_of

from sweeps.report.compare.comparison import value_names
from sweeps.report.compare.ranking import rank
from sweeps.report.figures import figures
from sweeps.report.figures.parameters import parallel
from sweeps.report.figures.progress import progress
from sweeps.report.figures.rates import rates
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.summary import summarize

Trial = tuple[str, list[float], dict[str, Any]]

TRIALS = [
    ("complete", [2.3, 1.2], {"lr": 0.1}),
    ("complete", [2.3, 1.4], {"lr": 0.01, "optimizer": "Adam"}),
    ("pruned", [2.2, 1.8], {"lr": 0.001, "optimizer": "Adam", "step_size": 3}),
    ("complete", [2.3, 1.5], {"lr": 0.02}),
]
DIVERGED = [("diverged", [2.4, 1.2e8], {"lr": 1.0}), ("diverged", [math.inf], {"lr": 0.5})] * 3


def rates_of(frames: StudyFrames, parameter: str = "optimizer") -> Any:
    """The figure of rates by a parameter."""
    values = value_names(frames.trials.set_index("trial")[parameter])
    return rates(frames, rank(frames), values, parameter)


def drawn(frames: StudyFrames) -> list[Any]:
    """All figures whose upright axis is the objective's."""
    ranked = rank(frames)
    comparison = summarize(frames).comparison
    assert comparison is not None
    return [
        figures.curves(frames, ranked, "val_loss"),
        figures.expected(frames, comparison),
        rates_of(frames),
        progress([frames], "epochs"),
    ]


def test_diverged_trials_never_set_the_scale() -> None:
    """With six of ten diverged, up to 1e8, each axis holds the others and ends where they do."""
    alone = drawn(frames_of(*TRIALS, compare="optimizer"))
    all_of_them = drawn(frames_of(*TRIALS, *DIVERGED, compare="optimizer"))
    for figure, other in zip(all_of_them, alone, strict=True):
        if "Expected" not in figure.layout.title.text:  # in which they are bad results
            assert figure.layout.yaxis.range == other.layout.yaxis.range
        low, high = figure.layout.yaxis.range
        assert 1 < low < 1.2
        assert 1.5 < high < 2.5


def test_a_loss_far_from_all_others_does_not_set_the_scale_either() -> None:
    """It did not diverge, by the rule; it is marked at the border."""
    frames = frames_of(*TRIALS, ("complete", [9e7, 8e7], {"lr": 0.3}), compare="optimizer")
    for figure in drawn(frames):
        assert figure.layout.yaxis.range[1] < 2.5
    marks = [it for it in rates_of(frames).data if it.marker.symbol == "triangle-up"]
    assert [it.x for it in marks if it.yaxis == "y2"] == [(0.3,)]
    figure = parallel(frames, rank(frames), ["lr"])
    assert figure.layout.title.text == "Parallel coordinates of the 4 best trials"


def test_parallel_coordinates_have_every_trial_and_every_kind_of_parameter() -> None:
    """Heights are 0 to 1 by value, logarithmic for lr; a missing value is below all others."""
    frames = frames_of(
        ("complete", [1.0], {"lr": 0.001, "optimizer": "mine:Own", "momentum": 0.9}),
        ("complete", [2.0], {"lr": 0.1, "optimizer": "Adam", "momentum": None}),
        ("complete", [3.0], {"lr": 0.01, "optimizer": "SGD", "momentum": 0.5}),
    )
    figure = parallel(frames, rank(frames), ["lr", "optimizer", "momentum", "gamma"])
    lines = [dict(zip(line.x, line.y, strict=True)) for line in reversed(figure.data)]
    assert [line["best_val_loss"] for line in lines] == [0, 0.5, 1]
    assert [line["lr"] for line in lines] == pytest.approx([0, 1, 0.5])
    assert [line["optimizer"] for line in lines] == [0.5, 0, 1]
    assert lines[0]["momentum"] == 1
    assert lines[2]["momentum"] == 0
    assert lines[1]["momentum"] < 0
    assert "gamma" not in lines[0]  # the same in all trials
    texts = {(it.x, it.text) for it in figure.layout.annotations}
    assert {(1, "0.001"), (2, "Own"), (3, "none")} <= texts
    assert parallel(frames, rank(frames), ["gamma"]) is None


@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_diverged_trials_are_marked_at_the_bad_end(objective: str) -> None:
    """Above losses, below accuracies; a dotted line at the lowest rate of each value."""
    trials = [(state, [it / 9e8 for it in values], params) for state, values, params in TRIALS]
    lost = [("diverged", [math.inf], {"lr": lr}) for lr in (1.0, 0.5)]
    frames = frames_of(*(TRIALS if objective == "val_loss" else trials), *lost, objective=objective)
    figure = rates_of(frames)
    strip, axis = figure.layout.yaxis2.domain, figure.layout.yaxis.domain
    assert strip[0] > axis[1] if objective == "val_loss" else strip[1] < axis[0]
    (marks,) = [it for it in figure.data if it.yaxis == "y2"]
    assert marks.x == (1.0, 0.5)
    assert [line.x0 for line in figure.layout.shapes] == [0.5]
    shown = [rate for it in figure.data if it.yaxis == "y" and it.x != (None,) for rate in it.x]
    assert sorted(shown) == [0.001, 0.01, 0.02, 0.1]


def test_a_value_has_one_colour_in_all_figures() -> None:
    """Lines, bands and points of it; also where it is shown by its last name."""
    mine = [("complete", [2.0, 1.0], {"optimizer": "mine:Adam"}), *TRIALS]
    frames = frames_of(*mine, compare="optimizer")
    points = {it.name: it.marker.color for it in rates_of(frames).data if it.showlegend}
    comparison = summarize(frames).comparison
    assert comparison is not None
    figure = figures.expected(frames, comparison)
    lines = {it.name: it.line.color for it in figure.data if it.mode != "none"}
    assert lines == points
    assert len(set(lines.values())) == 3
    other = frames_of(("complete", [1.0], {"optimizer": "mine:Zeta"}), *TRIALS, compare="optimizer")
    points = {it.name: it.marker.color for it in rates_of(other).data if it.showlegend}
    curves = figures.curves(other, rank(other), "val_loss")
    named = {it.name: it.line.color for it in curves.data if it.name}
    assert points["Zeta"] == named["mine:Zeta"]


def test_any_parameter_can_be_the_one_in_colours() -> None:
    """The title says which."""
    frames = frames_of(*TRIALS, compare="step_size")
    figure = rates_of(frames, "step_size")
    assert figure.layout.title.text == "Result by learning rate and step_size"
    assert {it.name for it in figure.data if it.showlegend} == {"3", "5"}


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
    figure = figures.decays(frames, rank(frames))
    assert figure is not None
    assert "of 8 trials past a decay" in figure.layout.title.text
    assert len(figure.data[0].x) == 8
    assert min(figure.data[0].marker.color) > 1


def test_a_trial_past_its_first_decay_is_drawn_though_it_is_not_complete() -> None:
    """In most of a frugal search's trials the last epochs are missing."""
    pruned = [("pruned", values[:2], params) for _, values, params in scheduled(12)]
    longer = [("complete", [9.0] * 3, {"step_size": 9, "gamma": 0.5})]
    figure = figures.decays(frames := frames_of(*pruned, *longer), rank(frames))
    assert figure is not None
    assert sorted(figure.data[0].x) == [1, 1, 1, 1, 9]


def test_the_best_trials_are_as_clear_as_complete_ones() -> None:
    """Though they were not trained to their end; of twelve pruned ones two fade."""
    pruned = [("pruned", [1.0 + n / 9, 1.0], {"gamma": n / 30}) for n in range(12)]
    frames = frames_of(*pruned, ("complete", [5.0, 4.0], {}))
    lines = figures.curves(frames, rank(frames), "val_loss").data
    assert sorted(it.opacity for it in lines if it.opacity) == [0.35] * 2 + [0.9] * 11


def test_too_few_complete_trials_are_not_drawn() -> None:
    """Three points are no pattern."""
    frames = frames_of(*scheduled(3), *scheduled(12, "pruned"))
    assert figures.decays(frames, rank(frames)) is None


def test_importance_is_that_among_complete_trials() -> None:
    """Trials of one epoch do not make a schedule unimportant; of too few complete ones none is."""
    trials = [*scheduled(20), *scheduled(60, "pruned")]
    known = summarize(frames_of(*trials)).importances
    assert max(known, key=lambda name: known[name]) == "gamma"
    assert known["gamma"] > 0.5
    assert summarize(frames_of(*scheduled(9), *scheduled(60, "pruned"))).importances == {}
