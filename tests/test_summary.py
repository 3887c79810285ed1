import math
import shlex

import pandas as pd
import pytest
import typer

from sweeps.frames import CONFIG_COLUMNS, CURVE_COLUMNS, TRIAL_COLUMNS, StudyFrames
from sweeps.summary import share, summarize, train_command
from trainer import options
from trainer.__main__ import app
from trainer.config import TrainConfig
from trainer.metrics import EPOCH_METRICS
from trainer.record import params_of

START = pd.Timestamp("2026-11-22T12:00:00", tz="UTC")


def study(*trials, objective="val_loss", asked=None):
    """The frames of a study from each trial's state, values of the objective, and parameters."""
    rows, epochs = [], []
    for number, (state, values, params) in enumerate(trials):
        ranked = state in ("complete", "pruned")
        best = max(values) if objective == "val_accuracy" else min(values, default=math.nan)
        started = START + pd.Timedelta(seconds=10 * number)
        rows.append(
            dict.fromkeys(TRIAL_COLUMNS)
            | {"optimizer": "SGD", "lr": 0.01, "step_size": 5, "gamma": 0.1}
            | params
            | {"trial": number, "state": state, "epochs": len(values), "run_id": f"run{number}"}
            | {"best_epoch": values.index(best) + 1 if ranked else None}
            | ({f"best_{objective}": best} if ranked and objective != "train_loss" else {})
            | {"started_at": started, "seconds": None if state == "running" else len(values)}
        )
        epochs += [
            dict.fromkeys(EPOCH_METRICS, 0.5)
            | {objective: value, "trial": number, "epoch": epoch, "worker": 1}
            | {"reused": epoch == 1 and number > 0}
            | {"ended_at": started + pd.Timedelta(seconds=epoch)}
            for epoch, value in enumerate(values, start=1)
        ]
    return StudyFrames(
        name="digits",
        objective=objective,
        asked=len(trials) if asked is None else asked,
        run_id="parent",
        experiment_id="1",
        view="mlflow ui",
        trials=pd.DataFrame(
            rows,
            columns=None if rows else [*TRIAL_COLUMNS, "optimizer", "lr", "step_size", "gamma"],
        ).astype(TRIAL_COLUMNS),
        curves=pd.DataFrame(epochs, columns=list(CURVE_COLUMNS)).astype(CURVE_COLUMNS),
    )


def parsed(command):
    """The config that `python -m trainer` makes of a command, without training it."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "trainer"]
    given = dict(typer.main.get_command(app).make_context("trainer", words[3:]).params)
    settings = options.parse_settings(given["settings"] or [])
    fields = {name: given.get(name) for name in CONFIG_COLUMNS}
    return TrainConfig(**options.given(**fields, optimizer_args=settings))


def row_of(config):
    """The config as a row of the trials."""
    params = params_of(config)
    row = {CONFIG_COLUMNS.get(name, name): text for name, text in params.items()}
    numbers = {"lr": float, "gamma": float, "step_size": int, "asked_epochs": int, "seed": int}
    numbers |= {"batch_size": int, "threads": int, "momentum": float}
    row |= {name: kind(row[name]) for name, kind in numbers.items() if name in row}
    row["shuffle"] = config.shuffle
    row["limit"] = math.nan if config.limit is None else float(config.limit)
    return pd.Series(row | {"trial": 3, "best_val_loss": 1.0, "weight_decay": math.nan})


def test_the_winner_is_the_best_complete_trial():
    """A pruned trial may rank above it, which is said; a diverged one never does."""
    summary = summarize(
        study(
            ("complete", [2.0, 1.5, 1.6], {}),
            ("complete", [2.0, 1.4, 1.3], {"lr": 0.1}),
            ("pruned", [1.2], {"lr": 0.2}),
            ("diverged", [0.1], {"lr": 1.0}),
            ("failed", [], {}),
            ("running", [0.2], {}),
        )
    )
    assert summary.winner.trial == 1
    assert (summary.winner.value, summary.winner.epoch) == (1.3, 3)
    assert summary.winner.params == {"optimizer": "SGD", "lr": 0.1, "step_size": 5, "gamma": 0.1}
    assert summary.top["trial"].tolist() == [2, 1, 0]
    assert summary.ranked == 3
    assert any(note.startswith("Trial 2 was pruned after epoch 1") for note in summary.notes)


def test_without_a_complete_trial_the_best_pruned_one_wins():
    """The summary says that it does."""
    summary = summarize(study(("pruned", [2.0], {}), ("pruned", [1.0, 3.0], {})))
    assert (summary.winner.trial, summary.winner.state, summary.winner.epoch) == (1, "pruned", 1)
    assert any("stands in" in note for note in summary.notes)


def test_more_accuracy_is_better():
    """The objective says which way is up; equal trials go by number."""
    trials = [("complete", [0.5, value], {}) for value in (0.6, 0.7, 0.7)]
    summary = summarize(study(*trials, objective="val_accuracy"))
    assert summary.top["trial"].tolist() == [1, 2, 0]
    assert summary.by_optimizer.loc[0, "best"] == summary.winner.val_accuracy == 0.7


def test_an_objective_that_has_no_best_metric_is_ranked_by_its_curve():
    """train_loss is not logged as a best value: its lowest epoch counts all the same."""
    summary = summarize(
        study(
            ("complete", [3.0, 2.0, 2.0], {}),
            ("pruned", [2.5, 4.0], {}),
            ("diverged", [0.1], {}),
            objective="train_loss",
        )
    )
    assert summary.top["best_train_loss"].tolist() == [2.0, 2.5]
    assert summary.top["best_epoch"].tolist() == [2, 1]
    assert summary.winner.trial == 0
    assert parsed(summary.winner.command) == TrainConfig()


def test_only_the_ten_best_are_shown():
    """All of them are counted."""
    summary = summarize(study(*[("complete", [float(value)], {}) for value in range(12)]))
    assert summary.top["trial"].tolist() == list(range(10))
    assert (summary.ranked, summary.trials) == (12, 12)


def test_optimizers_are_compared_with_their_numbers_of_trials():
    """Every trial counts in n, only complete and pruned ones in best and median."""
    summary = summarize(
        study(
            ("complete", [3.0], {}),
            ("pruned", [5.0], {}),
            ("diverged", [1.0], {}),
            ("complete", [2.0], {"optimizer": "Adam"}),
            ("failed", [], {"optimizer": "Rprop"}),
        )
    )
    expected = pd.DataFrame(
        {
            "optimizer": ["Adam", "SGD", "Rprop"],
            "n": [1, 3, 1],
            "complete": [1, 1, 0],
            "pruned": [0, 1, 0],
            "diverged": [0, 1, 0],
            "failed": [0, 0, 1],
            "best": [2.0, 3.0, math.nan],
            "median": [2.0, 4.0, math.nan],
        }
    )
    pd.testing.assert_frame_equal(summary.by_optimizer, expected)


def test_epochs_and_time_are_added_up():
    """Epochs asked for are trained or reused; the time is from the first start to the last end."""
    summary = summarize(study(("complete", [3.0, 2.0], {}), ("running", [3.0, 2.0, 1.0], {})))
    assert (summary.epochs, summary.trained_epochs, summary.reused_epochs) == (5, 4, 1)
    assert summary.seconds == 13.0
    assert summary.counts == {"complete": 1, "running": 1}


def test_a_study_without_ranked_trials_has_no_winner():
    """Nothing begun, all failed, or all still running: each is summed up, and said."""
    for trials in ([], [("failed", [], {}), ("running", [1.0], {})]):
        summary = summarize(study(*trials, asked=2))
        assert summary.winner is None
        assert summary.top.empty
        assert "No trial is complete or pruned yet, so none is ranked." in summary.notes
        assert summary.trials == len(trials)
    assert summarize(study(asked=2)).seconds is None


def test_notes_say_what_makes_the_winner_doubtful():
    """Failed and diverged trials, a best epoch that is the last, an lr at the end of those."""
    trials = [("complete", [3.0, 2.0 + lr], {"lr": lr}) for lr in (0.1, 0.2, 0.3)]
    summary = summarize(
        study(*trials, ("failed", [], {}), ("diverged", [9.0], {"lr": 0.5}), asked=6)
    )
    notes = "\n".join(summary.notes)
    assert "Of 6 trials asked for, 5 were begun." in notes
    assert "Failed trials: 1 of 5 (20 %)" in notes
    assert "Diverged trials: 1 of 5 (20 %), at lr 0.5." in notes
    assert "best epoch, 2, is its last" in notes
    assert "lowest" not in notes
    doubtless = study(*[("complete", [1.0 + abs(lr - 2), 4], {"lr": lr}) for lr in (1, 2, 3)])
    assert summarize(doubtless).notes == ()
    at_the_end = study(*[("complete", [1.0 + lr, 9.0], {"lr": lr}) for lr in (1, 2, 3)])
    assert summarize(at_the_end).notes == (
        "The winner's lr, 1, is the lowest of 3 tried: try beyond it.",
    )


def test_what_was_not_the_same_for_all_trials_is_shown():
    """An argument of an optimizer, and a field that differs, are among the winner's parameters."""
    fields = {"momentum": 0.9, "batch_size": 32, "seed": 1}
    summary = summarize(
        study(
            ("complete", [1.0], fields),
            ("complete", [2.0], {"optimizer": "Adam", "batch_size": 64, "seed": 1}),
        )
    )
    assert summary.winner.params["momentum"] == 0.9
    assert summary.winner.params["batch_size"] == 32
    assert "seed" not in summary.winner.params
    assert {"momentum", "batch_size"} <= set(summary.top.columns)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(lr=1e-05, gamma=0.30000000000000004, step_size=7, epochs=3, seed=12),
        TrainConfig(optimizer="Adam", optimizer_args={"betas": [0.8, 0.99], "amsgrad": True}),
        TrainConfig(optimizer_args={"momentum": 0.9}, limit=50, shuffle=False, device="cpu"),
        TrainConfig(dataset="my data's.npz", split="train", batch_size=1, threads=2),
        TrainConfig(optimizer_args={"foreach": None}),
    ],
    ids=lambda config: f"{config.optimizer}-{config.dataset}-{config.seed}-{config.device}",
)
def test_the_command_trains_the_same_config(config):
    """What `python -m trainer` makes of the command is the trial's config."""
    assert parsed(train_command(row_of(config))) == config


def test_the_command_leaves_defaults_out():
    """What a sweep searches is there, what nobody changed is not."""
    assert train_command(row_of(TrainConfig(seed=7))) == (
        "python -m trainer --optimizer SGD --lr 0.01 --step-size 5 --gamma 0.1 --epochs 20 --seed 7"
    )


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 50, "0 of 50 (0 %)"),
        (1, 1000, "1 of 1000 (<1 %)"),
        (7, 50, "7 of 50 (14 %)"),
        (999, 1000, "999 of 1000 (>99 %)"),
        (50, 50, "50 of 50 (100 %)"),
        (0, 0, "0 of 0"),
    ],
)
def test_a_share_never_rounds_to_all_or_nothing(part, whole, text):
    """0 % is none and 100 % is all; n is always said."""
    assert share(part, whole) == text
