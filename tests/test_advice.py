"""What a summary says to try next: seen where it is true, and not where it is not."""

import math

import pytest
from studies import frames_of

from sweeps.report.summary import summarize
from sweeps.space.file import parse_space
from trainer.config import TrainConfig

RATES = {"grid": [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]}
SPACE = {"optimizer": ["SGD", "Adam"], "lr": RATES, "gamma": {"low": 0.1, "high": 0.9, "step": 0.1}}


def advised(*trials, **more):
    """Each sentence: what was seen, and the change."""
    sentences = summarize(frames_of(*trials, **more)).advice
    return [tuple(sentence.split(" Next: ")) for sentence in sentences]


def steady(value, **params):
    """A trial whose best epoch is in the middle."""
    return ("complete", [value + 1, value, value + 2], params)


@pytest.mark.parametrize(
    ("lr", "gamma", "expected"),
    [
        (0.02, 0.5, []),
        (0.001, 0.5, ['lr = { low = 0.0001, high = 0.1, grid = "1-2-5" }']),
        (0.1, 0.5, ['lr = { low = 0.001, high = 1, grid = "1-2-5" }']),
        (0.02, 0.9, ["gamma = { low = 0.1, high = 1, step = 0.1 }"]),
        (0.02, 0.1, ["gamma = { low = 0.01, high = 0.9 }"]),  # no step of 0.1 leads further
    ],
)
def test_a_best_value_at_an_end_of_the_space_widens_it(lr, gamma, expected):
    """By a decade where it is logarithmic, by steps where it has such; never beyond what can be."""
    changes = [change for _, change in advised(steady(1.0, lr=lr, gamma=gamma), space=SPACE)]
    assert changes == expected


@pytest.mark.parametrize(("step", "expected"), [({}, "25000"), ({"step": 2000}, "24000")])
def test_a_range_of_whole_numbers_stays_one(step, expected):
    """However large they are: 2e+04 would be another kind of number in the file."""
    space = {"rank": {"low": 10_000, "high": 20_000, **step}}
    trials = [steady(1.0, rank=20_000), steady(2.0, rank=12_000)]
    ((_, change),) = advised(*trials, space=space)
    stepped = f", step = {step['step']}" if step else ""
    assert change == f"rank = {{ low = 10000, high = {expected}{stepped} }}"


def test_ranges_of_one_optimizer_are_its_own():
    """What stands under [when.optimizer.NAME] goes before the rest."""
    space = SPACE | {"when": {"optimizer": {"SGD": {"lr": {"grid": [0.02, 0.05, 0.1, 0.2, 0.5]}}}}}
    ((seen, change),) = advised(steady(1.0, lr=0.02, gamma=0.5), space=space)
    assert seen == "The winner's lr, 0.02, is the lowest that the space has."
    assert change.startswith("[when.optimizer.SGD] lr = { low = 0.002, high = 0.5")


def test_an_optimizer_that_diverges_gets_rates_below_that():
    """Those it did well with; one that only ever diverged gets lower ones."""
    trials = [steady(1.0, lr=0.01), steady(2.0, lr=0.002)]
    trials += [("diverged", [9.0], {"lr": lr}) for lr in (0.05, 0.1)]
    trials += [("diverged", [9.0], {"optimizer": "Adam", "lr": lr}) for lr in (0.02, 0.1)]
    assert advised(*trials) == [
        (
            "Adam diverged in 2 of 2 trials, from lr 0.02 on.",
            '[when.optimizer.Adam] lr = { low = 0.0002, high = 0.002, grid = "1-2-5" }',
        ),
        (
            "SGD diverged in 2 of 4 trials, from lr 0.05 on.",
            '[when.optimizer.SGD] lr = { low = 0.002, high = 0.01, grid = "1-2-5" }',
        ),
    ]


def test_a_best_epoch_that_is_the_last_asks_for_more():
    """The best are tried first then, as their first epochs are stored."""
    ((seen, change),) = advised(("complete", [3.0, 2.0, 1.0], {}))
    assert seen == "The winner's best epoch, 3, is its last."
    assert change == "--epochs 6 --enqueue study:digits:top=5"


def test_epochs_that_made_nothing_better_can_be_spared():
    """Where all of the ten best were at their best in the first half."""
    trials = [("complete", [2.0, 1.0 + number / 9, 3, 4, 5, 6], {}) for number in range(10)]
    assert [change for _, change in advised(*trials)] == ["--epochs 3"]
    assert advised(*trials[:9]) == []


def test_a_parameter_that_explains_nothing_is_fixed():
    """Not before twenty trials have shown it."""
    points = [(lr, gamma / 10) for lr in range(1, 7) for gamma in (1, 2, 3, 4)]
    trials = [steady(1 + lr, lr=float(lr), gamma=gamma) for lr, gamma in points]
    assert any(change.startswith("gamma = ") for _, change in advised(*trials))
    assert not any(change.startswith("gamma = ") for _, change in advised(*trials[:16]))
    assert not any(change.startswith("lr = ") for _, change in advised(*trials))


def test_one_optimizer_among_the_best_is_searched_further():
    """By an argument of its own."""
    trials = [steady(1 + n / 9, optimizer="AdamW") for n in range(10)]
    assert advised(*trials) == []
    ((seen, change),) = advised(*trials, steady(5.0))
    assert seen == "All of the 10 best trials are of AdamW."
    assert change == 'optimizer = "AdamW", weight_decay = [0.0, 0.01, 0.1]'


def test_a_pruned_trial_that_is_as_good_as_the_best_blames_the_pruner():
    """Where only its own value says so, it is to be confirmed first."""
    trials = [steady(1.0), ("pruned", [0.9], {"lr": 0.1})]
    ((seen, change),) = advised(*trials)
    assert seen.startswith("Trial 1 was pruned after epoch 1 though its best_val_loss, 0.9")
    assert change == "--confirm 5"
    repeats = [(trial, seed, 1 + seed / 10) for trial in (0, 1) for seed in range(5)]
    ((seen, change),) = advised(*trials, repeats=repeats)
    assert seen.startswith("Trial 1 was pruned, but from other seeds nothing is better")
    worse = [(trial, seed, 1 + trial) for trial in (0, 1) for seed in range(5)]
    assert advised(*trials, repeats=worse) == []


def test_a_trial_that_came_after_the_winner_was_confirmed_is_to_be_confirmed_too():
    """It does not win by one seed against several."""
    trials = [steady(1.0), steady(1.1), steady(0.9)]
    repeats = [(trial, seed, 1 + seed / 10 + trial) for trial in (0, 1) for seed in range(5)]
    ((seen, change),) = advised(*trials, repeats=repeats)
    assert seen.startswith("Trial 2 has a better best_val_loss, 0.9, than the winner")
    assert change == "python -m sweeps.confirm --study digits"
    again = [(2, seed, 3.0) for seed in range(5)]
    assert advised(*trials, repeats=[*repeats, *again]) == []


def test_what_is_advised_can_be_written_into_a_space():
    """Each change of a space is a line that a file may have."""
    trials = [steady(1.0 + n / 9, lr=0.001, gamma=0.5, optimizer="AdamW") for n in range(10)]
    trials += [("diverged", [9.0], {"optimizer": "Adam", "lr": lr}) for lr in (0.02, 0.1)]
    trials += [steady(9.0, optimizer="Adam", lr=0.01)]
    changes = [change for _, change in advised(*trials, space=SPACE)]
    assert len(changes) == 3
    widened, alone, cut = changes
    head, _, tail = cut.partition("] ")
    optimizer, argument = alone.split(", ", 1)
    text = f"{optimizer.replace('AdamW', 'Adam')}\n{widened}\n{head}]\n{tail}"
    parse_space(text, "s").check(TrainConfig())
    parse_space(f"{optimizer}\n{argument}", "s").check(TrainConfig())


def test_a_study_without_a_winner_gets_no_advice():
    """Nor does one of no trials."""
    assert advised() == []
    assert advised(("diverged", [math.inf], {}), ("failed", [], {})) == []
