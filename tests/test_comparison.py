import json
import math

import numpy as np
import pandas as pd
import pytest
from studies import frames_of

from sweeps.report.compare.comparison import value_names
from sweeps.report.compare.confirmed import BEST_VERDICT, TIED, TOO_FEW, WORSE, interval
from sweeps.report.compare.expected import expected_best
from sweeps.report.render import to_json
from sweeps.report.summary import summarize

SETTLED = [1.4, 1.2, 1.0, *[1.001 + 0.0005 * n for n in range(7)]]
"""Values of trials of which the best comes early, and many others are as good."""


def trials_of(optimizer, values, by=0.0):
    """Complete trials; the first epoch is no better."""
    return [
        ("complete", [value + by + 1, value + by], {"optimizer": optimizer}) for value in values
    ]


def seeds_of(trial, mean, seeds=5, noise=0.0):
    """Repeats of a trial from so many seeds; a noise is what no other trial has of them."""
    shared = [0.02 * (n - (seeds - 1) / 2) for n in range(seeds)]
    return [(trial, 100 + n, mean + it + noise * (-1) ** n) for n, it in enumerate(shared)]


def study(means, compare="optimizer", seeds=5, noise=0.0, **more):
    """Ten settled trials of each optimizer, the best of each confirmed with this mean."""
    trials, repeats = [], []
    for at, (optimizer, mean) in enumerate(means.items()):
        trials += trials_of(optimizer, SETTLED, by=mean - 1)
        repeats += seeds_of(10 * at + 2, mean, seeds, noise=noise * at)
    return frames_of(*trials, compare=compare, repeats=repeats, **more)


def compared(frames):
    """The comparison, and its rows by value."""
    comparison = summarize(frames).comparison
    return comparison, comparison.values.set_index("value")


def test_a_study_that_compares_nothing_has_no_comparison():
    """Nor has one without trials."""
    assert summarize(study({"Adam": 1.0, "SGD": 2.0}, compare="")).comparison is None
    assert summarize(frames_of(compare="optimizer")).comparison is None


def test_the_trials_of_each_value_are_counted_by_their_ends():
    """A value of the space that has none yet is there, too."""
    frames = frames_of(
        ("complete", [2.0], {}),
        ("pruned", [3.0], {}),
        ("diverged", [math.inf], {}),
        ("running", [1.0], {}),
        ("suspended", [1.5], {}),
        ("failed", [], {"optimizer": "Adam"}),
        compare="optimizer",
        space={"optimizer": ["SGD", "Adam", "RMSprop"]},
    )
    _, values = compared(frames)
    counts = values[["n", "complete", "pruned", "suspended", "diverged", "failed"]].T.to_dict(
        "list"
    )
    assert counts == {"SGD": [5, 1, 1, 1, 1, 0], "Adam": [1, 0, 0, 0, 0, 1], "RMSprop": [0] * 6}
    assert values["trial"].isna().tolist() == [False, True, True]
    assert (values["verdict"] == TOO_FEW).all()


def test_each_value_is_judged_by_its_best_configuration_over_the_same_seeds():
    """Mean and difference with their intervals; a difference that all seeds share is sure."""
    comparison, values = compared(study({"SGD": 1.2, "Adam": 1.0, "RMSprop": 1.0001}))
    assert comparison.parameter == "optimizer"
    assert values.index.tolist() == ["Adam", "RMSprop", "SGD"]
    assert values["trial"].tolist() == [12, 22, 2]
    assert values["params"]["SGD"] == {"lr": 0.01, "step_size": 5, "gamma": 0.1}
    assert values["best"].tolist() == pytest.approx([1.0, 1.0001, 1.2])
    assert values["difference"].tolist() == pytest.approx([0, 0.0001, 0.2])
    expected = interval(np.array([1.16, 1.18, 1.2, 1.22, 1.24]))
    assert values.loc["SGD", ["low", "high"]].tolist() == pytest.approx(expected)
    ends = values.loc["SGD", ["difference_low", "difference_high"]]
    assert ends.tolist() == pytest.approx([0.2, 0.2])
    assert values["verdict"].tolist() == [BEST_VERDICT, WORSE, WORSE]


def test_the_answer_is_one_sentence():
    """With the best, its interval, what ties with it, and by how much the others are worse."""
    comparison, _ = compared(study({"SGD": 1.2, "Adam": 1.0, "RMSprop": 1.04}))
    assert comparison.answer == (
        "Adam is best: val_loss 1 (95 %: 0.964 to 1.036 over 5 seeds); RMSprop and SGD are worse "
        "by 4 to 20 %."
    )
    assert comparison.doubts == ()
    comparison, values = compared(study({"Adam": 1.0, "AdamW": 1.001, "SGD": 2.0}, noise=0.05))
    assert values["verdict"].tolist() == [BEST_VERDICT, TIED, WORSE]
    assert "seeds); AdamW ties with it; SGD is worse by 1" in comparison.answer


def test_of_an_accuracy_more_is_better():
    """Differences of shares are no percent of these."""
    trials = [
        ("complete", [value], {"optimizer": name})
        for name, best in (("Adam", 0.5), ("SGD", 0.7))
        for value in [best] * 6
    ]
    repeats = [*seeds_of(0, 0.5), *seeds_of(6, 0.7)]
    frames = frames_of(*trials, objective="val_accuracy", compare="optimizer", repeats=repeats)
    comparison, values = compared(frames)
    assert values["trial"].to_dict() == {"SGD": 6, "Adam": 0}
    assert comparison.answer.startswith("SGD is best: val_accuracy 0.7 (95 %")
    assert comparison.answer.endswith("; Adam is worse by 0.2.")


def test_where_all_tie_the_budget_was_too_small():
    """None is said to be best."""
    comparison, values = compared(study({"Adam": 1.0, "SGD": 1.001, "RMSprop": 1.002}, noise=0.1))
    assert values["verdict"].tolist() == [BEST_VERDICT, TIED, TIED]
    assert comparison.answer.startswith(
        "The budget was too small to tell which optimizer is best: Adam has the lowest mean "
        "val_loss, 1 (95 %: "
    )
    assert ", but SGD and RMSprop tie with it" in comparison.answer


@pytest.mark.parametrize("seeds", [0, 1, 4])
def test_fewer_than_five_seeds_confirm_nothing(seeds):
    """However clear it looks."""
    comparison, values = compared(study({"Adam": 1.0, "SGD": 2.0}, seeds=seeds))
    assert (values["verdict"] == TOO_FEW).all()
    had = f"it was trained from {seeds}" if seeds else "none was trained"
    assert comparison.answer == (
        "Which optimizer is best is not confirmed: Adam has the lowest val_loss of a single seed, "
        f"1 (trial 2), but it takes 5 other seeds to tell, and {had}."
    )


def test_a_value_of_too_few_seeds_is_not_compared_with_those_that_have_enough():
    """The luckier mean of two seeds is not the best one."""
    frames = study({"Adam": 1.0, "SGD": 2.0})
    repeats = [*seeds_of(2, 1.0, 2), *seeds_of(12, 2.0)]
    few = frames_of(
        *trials_of("Adam", SETTLED),
        *trials_of("SGD", SETTLED),
        compare="optimizer",
        repeats=repeats,
    )
    assert compared(frames)[1]["verdict"].to_dict() == {"Adam": BEST_VERDICT, "SGD": WORSE}
    comparison, values = compared(few)
    assert values["later"].isna().all()
    assert values["verdict"].to_dict() == {"SGD": BEST_VERDICT, "Adam": TOO_FEW}
    assert comparison.answer.endswith("; Adam was not confirmed.")


def test_what_diverges_from_some_seed_is_worse_than_what_never_does():
    """Its mean is that of the luckier seeds."""
    trials = [*trials_of("Adam", SETTLED), *trials_of("SGD", SETTLED)]
    repeats = [*seeds_of(2, 1.0, 6), *seeds_of(12, 0.9), (12, 105, math.nan)]
    comparison, values = compared(frames_of(*trials, compare="optimizer", repeats=repeats))
    assert values["verdict"].to_dict() == {"Adam": BEST_VERDICT, "SGD": WORSE}
    assert comparison.answer.endswith("; SGD is worse, having diverged or failed from some.")
    assert comparison.doubts[0] == (
        "The best configuration of SGD, trial 12, diverged or failed from 1 of 6 other seeds."
    )


def test_a_value_without_a_result_is_named():
    """All of its trials diverged."""
    lost = [("diverged", [math.inf], {"optimizer": "RMSprop"})] * 6
    trials = [*trials_of("Adam", SETTLED), *trials_of("SGD", SETTLED, by=1), *lost]
    repeats = [*seeds_of(2, 1.0), *seeds_of(12, 2.0)]
    comparison, _ = compared(frames_of(*trials, compare="optimizer", repeats=repeats))
    assert comparison.answer.endswith("; SGD is worse by 100 %; no trial of RMSprop has a result.")


@pytest.mark.parametrize("state", ["pruned", "suspended"])
def test_a_value_is_judged_by_its_best_trial_whatever_became_of_that(state):
    """That it was not trained to its end is shown by its epochs."""
    trials = [(state, [0.9], {"optimizer": "Adam"}), *trials_of("Adam", SETTLED)]
    _, values = compared(frames_of(*trials, compare="optimizer"))
    row = values.loc["Adam"]
    assert (row["trial"], row["best"], row["epochs"], row["asked_epochs"]) == (0, 0.9, 1, 2)


def test_a_pruned_trial_that_was_confirmed_stands_for_its_value():
    """The best complete one is worse than it, and no better trial that came later."""
    trials = [("pruned", [0.5], {"optimizer": "Adam"}), *trials_of("Adam", SETTLED)]
    _, values = compared(frames_of(*trials, compare="optimizer", repeats=seeds_of(0, 0.5)))
    assert values["trial"].tolist() == [0]
    assert values["later"].isna().all()


def test_few_trials_are_too_few_for_any_value():
    """The sentence says that it may change, and a doubt says why."""
    trials = [*trials_of("Adam", SETTLED), *trials_of("SGD", [2.0, 2.1])]
    frames = frames_of(
        *trials, compare="optimizer", repeats=[*seeds_of(2, 1.0), *seeds_of(10, 2.0)]
    )
    comparison, _ = compared(frames)
    assert comparison.doubts == ("Fewer than 5 trials: SGD (2).",)
    assert comparison.answer.endswith("; more trials may change that.")


@pytest.mark.parametrize(("mean", "doubted"), [(1.04, True), (9.0, False)])
def test_a_value_whose_expected_best_still_falls_may_become_better(mean, doubted):
    """As far as what it gained over half of its trials is as much as it is behind."""
    falling = [mean + 0.2 * n for n in (5, 3, 9, 7, 0, 8, 6, 1, 4, 2)]
    trials = [*trials_of("Adam", SETTLED), *trials_of("SGD", falling)]
    repeats = [*seeds_of(2, 1.0), *seeds_of(14, mean)]
    comparison, values = compared(frames_of(*trials, compare="optimizer", repeats=repeats))
    results = np.array(falling)
    gain = expected_best(results, 5, False) - expected_best(results, 10, False)
    assert values["gain"]["SGD"] == pytest.approx(float(gain))
    said = "The expected best of SGD fell by 0.1434 over the second half of its 10 trials"
    assert any(it.startswith(said) for it in comparison.doubts) == doubted
    assert comparison.answer.endswith("; more trials may change that.") == doubted


def test_a_best_trial_that_came_last_may_not_be_the_best_there_is():
    """Unless the value is behind all the same, or is far ahead."""
    means = {"Adam": 1.0, "AdamW": 1.001, "SGD": 2.0}
    last = "The best trial of AdamW is its last, so more trials may improve it."
    for names, tied in ((list(means), True), (["Adam", "SGD", "AdamW"], False)):
        trials, repeats = [], []
        for at, (name, mean) in enumerate(zip(names, means.values(), strict=True)):
            values = SETTLED[::-1] if name == "AdamW" else SETTLED
            values = [*values[:7], values[8], values[9], values[7]] if name == "AdamW" else values
            trials += trials_of(name, values, by=mean - 1)
            best = 10 * at + (9 if name == "AdamW" else 2)
            repeats += seeds_of(best, mean, noise=0.05 * at)
        comparison, values = compared(frames_of(*trials, compare="optimizer", repeats=repeats))
        assert values["is_last"].to_dict() == {it: it == "AdamW" for it in means}
        assert (last in comparison.doubts) == tied
    assert compared(frames_of(*trials_of("Adam", [1.0]), compare="optimizer"))[0].doubts == (
        "Fewer than 5 trials: Adam (1).",
    )


def test_a_better_trial_than_the_confirmed_one_is_told():
    """As it is when a study is resumed after it was confirmed."""
    trials = [*trials_of("Adam", [*SETTLED, 0.9]), *trials_of("SGD", SETTLED, by=1)]
    repeats = [*seeds_of(2, 1.0), *seeds_of(13, 2.0)]
    comparison, values = compared(frames_of(*trials, compare="optimizer", repeats=repeats))
    assert values.loc["Adam", ["trial", "later"]].tolist() == [2, 10]
    assert comparison.doubts == (
        "Trial 10 of Adam is better than its trial 2, but only that one was trained from other "
        "seeds.",
    )


def test_a_trial_that_diverged_counts_as_the_worst_that_can_be_shown():
    """In what to expect: one of two that diverges halves the chance, and costs no 1e8."""
    lost = [("diverged", [1e8], {"optimizer": "SGD"}), ("complete", [1e9], {"optimizer": "SGD"})]
    frames = frames_of(*trials_of("Adam", [1.0, 2.0, 3.0, 4.0]), *lost, compare="optimizer")
    expected = compared(frames)[0].expected.set_index("value")
    assert expected.loc["SGD", "expected"].tolist() == [4.0, 4.0]
    one = expected.loc["Adam"].iloc[0]
    assert (one["trials"], one["expected"]) == (1, 2.5)


def test_any_parameter_that_every_trial_has_can_be_compared():
    """Numbers, truth values, and classes of users', which go by their last name where it does."""
    for parameter, one, other in (
        ("momentum", 0.9, 0.0),
        ("shuffle", True, False),
        ("model", "mine:Net", "tutorial"),
    ):
        trials = [
            ("complete", [9.0, value], {parameter: it})
            for it, by in ((one, 0.0), (other, 1.0))
            for value in [1.0 + by] * 5
        ]
        frames = frames_of(
            *trials, compare=parameter, repeats=[*seeds_of(0, 1.0), *seeds_of(5, 2.0)]
        )
        comparison, values = compared(frames)
        assert len(values) == 2
        assert parameter not in values["params"].iloc[0]
        best = {"momentum": "0.9", "shuffle": "true", "model": "Net"}[parameter]
        assert comparison.answer.startswith(f"{best} is best: val_loss 1 ")
    both = pd.Series(["mine:Net", "yours:Net"])
    assert value_names(both).tolist() == both.tolist()


def test_nothing_to_compare_yet_is_said():
    """All diverged, or all still running; or one value alone."""
    for state, values in (("diverged", [math.inf]), ("running", [])):
        comparison, _ = compared(frames_of((state, values, {}), compare="optimizer"))
        assert comparison.answer == (
            "No trial has a result yet, so no optimizer can be said to be best."
        )
    alone, _ = compared(study({"Adam": 1.0}))
    assert alone.answer.startswith("Adam is the only optimizer that was tried: val_loss 1 (95 %")


def test_json_has_the_comparison():
    """Every value with its verdict, and the curves; null for a study that compares nothing."""
    frames = study({"Adam": 1.0, "SGD": 2.0})
    read = json.loads(to_json([frames]))["summary"]["comparison"]
    assert read["parameter"] == "optimizer"
    assert [row["verdict"] for row in read["values"]] == [BEST_VERDICT, WORSE]
    assert read["values"][0]["params"] == {"lr": 0.01, "step_size": 5, "gamma": 0.1}
    assert len(read["expected"]) == 20
    assert read["answer"].startswith("Adam is best")
    assert json.loads(to_json([frames_of()]))["summary"]["comparison"] is None
