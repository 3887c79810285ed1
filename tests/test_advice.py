"""What a summary says to try next: seen where it is true, and not where it is not."""

import json
import math
import tomllib

import pytest
import typer.main
from studies import WIDE, frames_of

from sweeps.report.render import markdown, to_json
from sweeps.report.summary import summarize
from sweeps.run import app
from sweeps.space.described import changed, to_toml
from sweeps.space.file import parse_space
from trainer.settings.config import TrainConfig

BASE = TrainConfig(epochs=20)
RATES = {"grid": [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]}
SPACE = {"optimizer": ["SGD", "Adam"], "lr": RATES, "gamma": {"low": 0.1, "high": 0.9, "step": 0.1}}
SGD = "[when.optimizer.SGD]\n"
ALL = parse_space(WIDE, "wide.toml").describe(BASE)


def advised(*trials, **more):
    """Each advice: what was seen, and lines or flags to change it; it is tried on the space."""
    frames = frames_of(*trials, **more)
    found = summarize(frames).advice
    for item in found:
        assert item.seen.endswith(".")
        assert set(item.evidence) <= set(frames.trials["trial"])
        assert bool(item.changes) + bool(item.flags or item.command) == 1
        if item.changes:
            tomllib.loads("\n".join(item.lines))
            if frames.space:
                space = to_toml(changed(frames.space, item.changes))
                parse_space(space, "next.toml").check(BASE)
        if item.flags and "--compare" not in item.flags:
            words = [word for flag in item.flags.items() for word in flag]
            typer.main.get_command(app).make_context("run", words)
    if frames.space:
        every = [change for item in found for change in item.changes]
        parse_space(to_toml(changed(frames.space, every)), "next.toml").check(BASE)
    return [
        (
            it.seen,
            " ".join(word for flag in it.flags.items() for word in flag) or "\n".join(it.lines),
        )
        for it in found
    ]


def steady(value, **params):
    """A trial whose best epoch is in the middle."""
    return ("complete", [value + 1, value, value + 2], params)


@pytest.mark.parametrize(
    ("lr", "gamma", "expected"),
    [
        (0.02, 0.5, []),
        (0.001, 0.5, [f'{SGD}lr = {{ low = 0.0001, high = 0.1, grid = "1-2-5" }}']),
        (0.1, 0.5, [f'{SGD}lr = {{ low = 0.001, high = 1.0, grid = "1-2-5" }}']),
        (0.02, 0.9, ["gamma = { low = 0.1, high = 1.0, step = 0.1 }"]),
        (0.02, 0.1, ["gamma = { low = 0.01, high = 0.9 }"]),  # no step of 0.1 leads further
    ],
)
def test_a_best_value_at_an_end_of_the_space_widens_it(lr, gamma, expected):
    """By a decade where it is logarithmic, by steps where it has such; never beyond what can be.

    A rate is that of its optimizer, which has a table of its own.
    """
    changes = [change for _, change in advised(steady(1.0, lr=lr, gamma=gamma), space=SPACE)]
    assert changes == expected


def test_a_rate_is_not_raised_to_where_its_optimizer_diverged():
    """The highest rate may be the best and yet the border."""
    lost = [("diverged", [9.0], {"lr": 0.1}), ("diverged", [9.0], {"optimizer": "Adam", "lr": 0.1})]
    assert len(advised(steady(1.0, lr=0.1, gamma=0.5), lost[1], space=SPACE)) == 1
    assert advised(steady(1.0, lr=0.1, gamma=0.5), lost[0], space=SPACE) == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [({}, "25000 }"), ({"step": 2000}, "24000, step = 2000 }")],
)
def test_a_range_of_whole_numbers_stays_one(step, expected):
    """However large they are: 2e+04 would be another kind of number in the file."""
    space = {"seed": {"low": 10_000, "high": 20_000, **step}}
    trials = [steady(1.0, seed=20_000), steady(2.0, seed=12_000)]
    ((_, change),) = advised(*trials, space=space)
    assert change == f"seed = {{ low = 10000, high = {expected}"


@pytest.mark.parametrize(
    ("name", "choices", "won", "expected"),
    [
        ("batch_size", [32, 64], 64, "[32, 64, 128]"),
        ("batch_size", [32, 64], 32, "[16, 32, 64]"),
        ("batch_size", [1, 2], 1, None),
        ("momentum", [0.0, 0.5, 0.9], 0.9, "[0.0, 0.5, 0.9, 0.98]"),
        ("momentum", [0.0, 0.5, 0.9], 0.0, None),
        ("weight_decay", [0.0, 0.01, 0.1], 0.1, "[0.0, 0.01, 0.1, 1.0]"),
        ("momentum", {"low": 0.5, "high": 0.9}, 0.9, "{ low = 0.5, high = 0.99 }"),
        ("warmup", {"low": 1, "high": 9}, 1, None),
        ("warmup", {"low": 4, "high": 10, "step": 3}, 4, "{ low = 1, high = 10, step = 3 }"),
        ("weight_decay", {"low": 3e-4, "high": 0.1, "log": True}, 3e-4, "3e-05"),
    ],
)
def test_choices_and_ranges_are_widened_by_what_can_be_trained(name, choices, won, expected):
    """In their proportion, towards 1 where that is an end; nothing that was there is dropped."""
    other = choices[1] if isinstance(choices, list) else choices["high"]
    other = choices[0] if isinstance(choices, list) and other == won else other
    trials = [steady(1.0, **{name: won}), steady(2.0, **{name: other if other != won else 0.6})]
    changes = [change for _, change in advised(*trials, space={name: choices})]
    assert len(changes) == (expected is not None)
    assert expected is None or expected in changes[0]


def test_ranges_of_one_optimizer_are_its_own():
    """What stands under [when.optimizer.NAME] goes before the rest."""
    space = SPACE | {"when": {"optimizer": {"SGD": {"lr": {"grid": [0.02, 0.05, 0.1, 0.2, 0.5]}}}}}
    ((seen, change),) = advised(steady(1.0, lr=0.02, gamma=0.5), space=space)
    assert seen == "The winner's lr, 0.02, is the lowest of the space."
    assert change == SGD + 'lr = { low = 0.002, high = 0.5, grid = "1-2-5" }'


def diverged(*rates, optimizer="SGD"):
    """Trials that did."""
    return [("diverged", [9.0], {"optimizer": optimizer, "lr": lr}) for lr in rates]


def test_an_optimizer_that_diverges_keeps_all_rates_below_the_border():
    """Those that were not tried, too: the best may be among them."""
    trials = [steady(1.0, lr=0.001, gamma=0.5), steady(2.0, lr=0.0002), *diverged(0.05, 0.1)]
    trials += diverged(0.02, 0.1, optimizer="Adam")
    assert advised(*trials, space=ALL) == [
        (
            "Adam diverged in 2 of 2 trials, from lr 0.02 on.",
            '[when.optimizer.Adam]\nlr = { low = 0.0001, high = 0.01, grid = "1-2-5" }',
        ),
        (
            "SGD diverged in 2 of 4 trials, from lr 0.05 on.",
            SGD + 'lr = { low = 0.0001, high = 0.02, grid = "1-2-5" }',
        ),
    ]


def test_rates_below_a_border_are_proposed_where_the_space_is_not_known():
    """From the lowest that was tried, or two decades; on the grid on which epochs recur."""
    trials = [steady(1.0, lr=0.01), steady(2.0, lr=0.002), *diverged(0.05, 0.1)]
    trials += diverged(0.02, 0.1, optimizer="Adam")
    assert [change for _, change in advised(*trials)] == [
        '[when.optimizer.Adam]\nlr = { low = 0.0002, high = 0.01, grid = "1-2-5" }',
        SGD + 'lr = { low = 0.002, high = 0.02, grid = "1-2-5" }',
    ]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"low": 0.001, "high": 1.0, "log": True}, "{ low = 0.001, high = 0.05, log = true }"),
        ({"low": 0.01, "high": 0.1, "step": 0.02}, "{ low = 0.01, high = 0.03, step = 0.02 }"),
        ([0.01, 0.03, 0.05, 0.1], "[0.01, 0.03]"),
        ([0.05, 0.1], '{ low = 0.0005, high = 0.02, grid = "1-2-5" }'),
    ],
)
def test_a_range_is_cut_as_it_is_written(rates, expected):
    """Steps stay steps; where nothing is left below the border, there is a range below it."""
    space = {"lr": rates, "gamma": [0.1, 0.2, 0.3]}
    trials = [steady(1.0, lr=0.03, gamma=0.2), *diverged(0.05, 0.1)]
    changes = [change for _, change in advised(*trials, space=space)]
    assert changes == [f"lr = {expected}"]


def test_rates_at_which_an_optimizer_does_well_are_never_cut():
    """That other trials diverged there says something of what else these had."""
    trials = [
        steady(1.0, lr=0.05, gamma=0.5),
        steady(3.0, lr=0.001),
        *diverged(0.02, 0.05, 0.1, 0.2),
    ]
    ((seen, change),) = advised(*trials, space=ALL)
    assert seen == "SGD diverged in 2 of 6 trials, from lr 0.1 on."
    assert change == SGD + 'lr = { low = 0.0001, high = 0.05, grid = "1-2-5" }'


def test_a_tenth_of_an_optimizers_trials_must_diverge():
    """Two of twenty-one are too few."""
    good = [steady(1.0 + n / 9, lr=0.01, gamma=n / 30) for n in range(20)]
    assert any("diverged" in seen for seen, _ in advised(*good[:18], *diverged(0.1, 0.2)))
    assert not any("diverged" in seen for seen, _ in advised(*good[:19], *diverged(0.1, 0.2)))


def test_a_best_epoch_that_is_the_last_asks_for_more():
    """The best are tried first then, as their first epochs are stored."""
    ((seen, change),) = advised(("complete", [3.0, 2.0, 1.0], {}))
    assert seen == "The winner's best epoch, 3, is its last."
    assert change == "--epochs 6 --trials 2 --enqueue study:digits:top=1"


def test_epochs_that_made_nothing_better_can_be_spared():
    """Where all of the ten best were at their best in the first half."""
    trials = [("complete", [2.0, 1.0 + number / 9, 3, 4, 5, 6], {}) for number in range(10)]
    assert [change for _, change in advised(*trials)] == ["--epochs 3"]
    assert advised(*trials[:9]) == []


def test_trials_that_are_one_result_are_counted_once():
    """Ten trials that share their best epoch do not say ten times that it came early."""
    trials = [("complete", [2.0, 1.0, 3, 4, 5, 6], {"gamma": n / 30}) for n in range(10)]
    assert advised(*trials) == []


def test_a_parameter_that_explains_nothing_is_fixed():
    """Not before twenty complete trials have shown it, of which no value has most."""
    points = [(lr, gamma / 10) for lr in range(1, 7) for gamma in (1, 2, 3, 4)]
    trials = [
        steady(1 + lr + n / 1e6, lr=float(lr), gamma=gamma) for n, (lr, gamma) in enumerate(points)
    ]
    fixed = [change for _, change in advised(*trials) if change.startswith("gamma = ")]
    assert fixed == ["gamma = 0.1"]
    assert not any(change.startswith("lr = ") for _, change in advised(*trials))
    for fewer in (trials[:16], [*trials[:16], *[("pruned", *it[1:]) for it in trials[16:]]]):
        assert not any(change.startswith("gamma = ") for _, change in advised(*fewer))
    same = [
        steady(1 + lr, lr=float(lr), gamma=0.1 if n % 3 else 0.2 + n / 99)
        for n, (lr, _) in enumerate(points)
    ]
    assert not any(change.startswith("gamma = ") for _, change in advised(*same))


def test_the_rate_of_several_optimizers_is_never_fixed():
    """Each has its own best one, however little rates tell of all trials together."""
    values = [(lr, gamma / 10) for lr in (0.01, 0.02, 0.05, 0.1) for gamma in range(1, 9)]
    trials = [
        steady(1 + 5 * gamma + n / 1e6, lr=lr, gamma=gamma, optimizer=("SGD", "Adam")[n // 4 % 2])
        for n, (lr, gamma) in enumerate(values)
    ]
    assert not any(change.startswith("lr = ") for _, change in advised(*trials))
    alone = [(state, epochs, {**params, "optimizer": "SGD"}) for state, epochs, params in trials]
    assert any(change.startswith("lr = ") for _, change in advised(*alone))


def test_one_optimizer_among_the_best_is_searched_further():
    """By an argument of its own, where the others had as many trials that were not stopped."""
    best = [steady(1 + n / 9, optimizer="AdamW") for n in range(10)]
    others = [steady(5.0 + n / 9) for n in range(5)]
    assert advised(*best) == []
    ((seen, change),) = advised(*best, *others)
    assert seen == (
        "All of the 10 best results are of AdamW; complete results: 10 of AdamW, 5 of SGD."
    )
    assert change == 'optimizer = "AdamW"\nweight_decay = [0.0, 0.01, 0.1]'


def test_no_optimizer_is_dropped_that_was_not_searched_fairly():
    """Few trials, trials that were stopped, diverged, or of one result; or none at all."""
    best = [steady(1 + n / 9, optimizer="AdamW") for n in range(10)]
    for others in (
        [steady(5.0)],
        [("pruned", [5.0 + n], {}) for n in range(20)],
        [*[steady(5.0 + n) for n in range(4)], *diverged(1.0, 1.0)],
        [steady(5.0, gamma=n / 30) for n in range(20)],
    ):
        assert not any("best results" in seen for seen, _ in advised(*best, *others))
    fair = [steady(5.0 + n) for n in range(5)]
    assert not any("best results" in seen for seen, _ in advised(*best, *fair, space=ALL))
    two = ALL | {"optimizer": ["SGD", "AdamW"]}
    assert any("best results" in seen for seen, _ in advised(*best, *fair, space=two))


def test_where_optimizers_had_no_fair_chance_a_comparison_is_advised():
    """As trials that were left early have not lost; a study that compares is its own answer."""
    best = [("pruned", [2.0, 1 + n / 9], {"optimizer": "AdamW"}) for n in range(9)]
    trials = [steady(0.5, optimizer="AdamW"), *best, ("pruned", [5.0], {})]
    found = [it for it in advised(*trials) if "--compare" in it[1]]
    assert found == [
        (
            "AdamW has the best result, but the optimizers had unequal budgets; distinct complete "
            "results: 1 of AdamW, 0 of SGD.",
            "--compare optimizer",
        )
    ]
    for others, more in (
        (trials, {"compare": "optimizer"}),
        (trials[:9], {}),
        (trials[:-1], {}),
        ([*trials, steady(6.0)], {}),
    ):
        assert not any("--compare" in change for _, change in advised(*others, **more))


def test_rates_of_trials_that_were_left_early_are_not_cut():
    """A high rate looks bad before it decays."""
    trials = [steady(1.0, lr=0.01, gamma=0.5), ("pruned", [8.0], {"lr": 0.1})]
    assert advised(*trials, *diverged(0.05, 0.05), space=ALL) == []
    ((seen, _),) = advised(*trials, *diverged(0.05, 0.2, 0.5), space=ALL)
    assert seen == "SGD diverged in 2 of 5 trials, from lr 0.2 on."


@pytest.mark.parametrize("state", ["suspended", "running", "interrupted"])
def test_nothing_is_advised_while_the_winner_may_be_trained_further(state):
    """What it shows may change."""
    assert advised((state, [1.0], {"lr": 0.001}), steady(2.0), space=SPACE) == []


def test_ten_best_trials_that_are_one_result_are_not_ten():
    """Nine numbers of one pruned epoch say no more than one."""
    one = [("pruned", [1.0], {"optimizer": "AdamW", "gamma": n / 30}) for n in range(9)]
    more = [steady(1.5 + n, optimizer="AdamW") for n in range(5)]
    others = [steady(1.75 + n) for n in range(5)]
    assert not any("best results" in seen for seen, _ in advised(*one, *more, *others))


def test_a_trial_that_came_after_the_winner_was_confirmed_is_to_be_confirmed_too():
    """It does not win by one seed against several."""
    trials = [steady(1.0), steady(1.1), steady(0.9)]
    repeats = [(trial, seed, 1 + seed / 10 + trial) for trial in (0, 1) for seed in range(5)]
    ((seen, change),) = advised(*trials, repeats=repeats)
    assert seen.startswith("Trial 2 has a better best_val_loss, 0.9, than the winner")
    assert change == "python -m sweeps.confirm --study digits"
    again = [(2, seed, 3.0) for seed in range(5)]
    assert advised(*trials, repeats=[*repeats, *again]) == []


def test_later_changes_are_made_to_the_space_that_has_the_earlier():
    """A range that is widened at one end and cut at the other; tables that are dropped."""
    trials = [steady(1.0, lr=0.0001, gamma=0.5), *diverged(0.05, 0.1)]
    changes = [change for _, change in advised(*trials, space=ALL)]
    assert changes == [
        SGD + 'lr = { low = 1e-05, high = 1.0, grid = "1-2-5" }',
        SGD + 'lr = { low = 1e-05, high = 0.02, grid = "1-2-5" }',
    ]
    space = ALL | {
        "optimizer": ["Adam", "AdamW"],
        "when": {"optimizer": {"Adam": {"lr": [1.0]}}},
    }
    best = [steady(1 + n / 9, optimizer="AdamW", lr=0.01, gamma=0.5) for n in range(10)]
    others = [steady(5.0 + n, optimizer="Adam", lr=0.1) for n in range(5)]
    lost = diverged(1.0, 1.0, optimizer="Adam")
    changes = [change for _, change in advised(*best, *others, *lost, space=space)]
    assert changes == ['optimizer = "AdamW"\nweight_decay = [0.0, 0.01, 0.1]']


def test_a_rate_that_depends_on_something_else_gets_no_table_of_an_optimizer():
    """A name may depend on one other only."""
    schedules = {"StepLR": {"lr": RATES}, "CosineAnnealingLR": {"lr": RATES}}
    space = {"optimizer": ["SGD", "Adam"], "scheduler": list(schedules)}
    space["when"] = {"scheduler": schedules}
    won = steady(1.0, lr=0.02, scheduler="StepLR")
    assert advised(won, *diverged(0.05, 0.1), space=space) == []


def test_advice_is_lines_to_be_copied_wherever_it_is_shown():
    """The head of a table stands on a line of its own, in Markdown within a block of code."""
    summary = summarize(frames_of(steady(1.0, lr=0.001, gamma=0.5), space=SPACE))
    block = markdown(summary).partition("## What to try next")[2].split("```")[1]
    assert tomllib.loads(block) == {
        "when": {"optimizer": {"SGD": {"lr": {"low": 0.0001, "high": 0.1, "grid": "1-2-5"}}}}
    }


def test_advice_is_a_value_in_json():
    """What was seen, by which trials, and each change by its parts."""
    frames = frames_of(steady(1.0, lr=0.001, gamma=0.5), space=SPACE)
    (item,) = json.loads(to_json([frames]))["summary"]["advice"]
    (change,) = item["changes"]
    assert (item["evidence"], item["flags"], item["command"]) == ([0], {}, "")
    assert (change["name"], change["where"]) == ("lr", ["optimizer", "SGD"])
    assert change["value"]["grid"][:2] == [0.0001, 0.0002]


def test_a_study_without_a_winner_gets_no_advice():
    """Nor does one of no trials."""
    assert advised() == []
    assert advised(("diverged", [math.inf], {}), ("failed", [], {})) == []
