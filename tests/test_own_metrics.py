"""Metrics of the user's: what they are given, what they may be, and sweeps that they judge."""

import json
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from brought import Hits
from processes import finish, start, sweep
from sklearn.metrics import f1_score, mean_squared_error
from test_run import table

from sweeps.report.reading.command import base_of, sweep_command, train_command
from sweeps.report.reading.frames import load_study
from sweeps.search.objectives import UNKNOWN_LOSS, penalty_of
from sweeps.settings.config import SweepConfig
from sweeps.space.space import check_name
from trainer.__main__ import main
from trainer.data import load
from trainer.errors import ConfigError
from trainer.killpoints import VARIABLE
from trainer.metrics import EpochResult, has_diverged
from trainer.settings.config import TrainConfig
from trainer.stages.plan import environment, plan
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore
from trainer.training.own_metrics import Measurement, find_metrics
from trainer.training.recipe import Recipe

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]])
CLASSES = torch.tensor([0, 1, 1, 2])
METRICS = {
    "f1": "sklearn.metrics:f1_score",
    "zeros": "brought:share_of_zeros",
    "top": "brought:Hits",
}
ARGS = {"f1.average": "macro", "top.top": 2}

Small = Callable[..., TrainConfig]


def measured(outputs: torch.Tensor, targets: torch.Tensor, reference: str, **args: object) -> float:
    """The value of one metric, of outputs that come in two batches."""
    given = {f"it.{name}": value for name, value in args.items()}
    config = TrainConfig(metrics={"it": reference}, metric_args=given)
    measurement = Measurement(find_metrics(config))
    for rows in (slice(0, 3), slice(3, None)):
        measurement.add(outputs[rows], targets[rows])
    return measurement.values()["it"]


def test_a_function_is_given_outputs_and_targets_of_all_data() -> None:
    """Those of all batches in one call: one of four images is taken for class 0."""
    assert measured(SCORES, CLASSES, "brought:share_of_zeros") == 0.25
    assert measured(SCORES, CLASSES, "torch.nn.functional:nll_loss") == -1.75


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_a_function_of_scikit_learn_is_given_classes(average: str) -> None:
    """By the names of its parameters, with the arguments that users give."""
    expected = f1_score(CLASSES.numpy(), SCORES.argmax(1).numpy(), average=average)
    got = measured(SCORES, CLASSES, "sklearn.metrics:f1_score", average=average)
    assert got == expected


def test_a_function_of_scikit_learn_is_given_scores_where_it_asks_for_them() -> None:
    """All are among the best two, three of four the best."""
    reference = "sklearn.metrics:top_k_accuracy_score"
    assert measured(SCORES, CLASSES, reference, k=2) == 1.0
    assert measured(SCORES, CLASSES, reference, k=1) == 0.75


def test_outputs_of_a_regression_are_no_scores_of_classes() -> None:
    """They are given as they are, though they have two dimensions."""
    targets = SCORES + 0.5
    assert measured(SCORES, targets, "sklearn.metrics:mean_squared_error") == pytest.approx(
        mean_squared_error(targets.numpy(), SCORES.numpy())
    )


def test_a_class_is_constructed_anew_for_each_measurement() -> None:
    """With its arguments; what it counted in an epoch is not there in the next."""
    metrics = find_metrics(TrainConfig(metrics={"top": "brought:Hits"}, metric_args={"top.top": 2}))
    made = Hits.made
    for _ in range(2):
        measurement = Measurement(metrics)
        measurement.add(SCORES, torch.tensor([0, 1, 0, 1]))
        assert measurement.values() == {"top": 0.5}
    assert Hits.made == made + 2


@pytest.mark.parametrize(
    ("metrics", "args", "message"),
    [
        ({"f1": "f1_score"}, {}, "metrics f1 must be package.module:name, but got 'f1_score'."),
        ({"val_loss": "a:b"}, {}, "A name in metrics must not be one of .*but got 'val_loss'."),
        ({"epoch": "a:b"}, {}, "A name in metrics must not be one of .*but got 'epoch'."),
        ({"best_f1": "a:b"}, {}, "A name in metrics must be letters, .*but got 'best_f1'."),
        ({"a.b": "a:b"}, {}, "A name in metrics must be letters, .*but got 'a.b'."),
        ({}, {"f1.average": 1}, "with a NAME of --metric, which are none, but got metric.f1.avera"),
        ({"f1": "sklearn.metrics:f1"}, {}, "Unknown name in sklearn.metrics 'f1'. Choices: "),
        ({"f1": "sklearn.metrics:f1_score"}, {"f1.averag": "x"}, "did you mean 'average'?"),
        ({"top": "brought:Hits"}, {"top.top": 0}, r"by Hits\(top=0\), but: ValueError: top is 0"),
        ({"x": "brought:SmoothLoss"}, {}, "a function, or a class with the methods update and"),
        ({"x": "math:pi"}, {}, "metric x must be a function, or a class .* math:pi is 3.14"),
    ],
)
def test_what_is_no_metric_is_refused_before_anything_is_trained(
    metrics: dict[str, str], args: dict[str, Any], message: str
) -> None:
    """In one line that names it."""
    with pytest.raises(ConfigError, match=message) as caught:
        find_metrics(TrainConfig(metrics=metrics, metric_args=args))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moody", "metric it must return a number, but: ValueError: no metric today"),
        ("wordy", "metric it must return a number, but returned 'good'."),
        ("each", "metric it must return a number, but: "),
    ],
)
def test_a_metric_that_gives_no_number_is_named_in_one_line(name: str, message: str) -> None:
    """Whatever it raises or returns."""
    with pytest.raises(ConfigError, match=message) as caught:
        measured(SCORES, CLASSES, f"brought:{name}")
    assert "\n" not in str(caught.value)


def test_metrics_of_losses_that_are_not_finite_are_not_measured() -> None:
    """Most refuse what a diverged model puts out; then the run diverged, and did not fail."""
    measurement = Measurement(find_metrics(TrainConfig(metrics={"it": "brought:moody"})))
    assert math.isnan(measurement.values(is_valid=False)["it"])


def test_each_epoch_has_its_metrics_and_trains_as_without_them(
    small: Small, tmp_path: Path
) -> None:
    """Beside the built-in ones, of which each has the same bits."""
    plain = small(epochs=2)
    with_metrics = small(epochs=2, metrics=METRICS, metric_args=ARGS)
    for epoch in (1, 2):
        one, other = (
            train_stage(config, epoch, StageStore(tmp_path / name), tmp_path).result
            for name, config in (("plain", plain), ("with", with_metrics))
        )
        assert other.state_digest == one.state_digest
        assert other.val_loss == one.val_loss
        assert set(other.metrics()) == {*one.metrics(), *METRICS}
        assert all(0 <= other.values[name] <= 1 for name in METRICS)
        assert other.values["top"] >= other.values["val_accuracy"]


def test_metrics_are_in_the_keys_of_results_alone(small: Small, tmp_path: Path) -> None:
    """By name, code and arguments; states do not depend on them, and are shared."""
    changes: list[dict[str, Any]] = [
        {},
        {"metrics": METRICS, "metric_args": ARGS},
        {"metrics": METRICS, "metric_args": ARGS | {"f1.average": "micro"}},
        {"metrics": {"one": "brought:share_of_zeros"}},
        {"metrics": {"other": "brought:share_of_zeros"}},
    ]
    stages, codes = [], []
    for change in changes:
        config = small(**change)
        recipe = Recipe(config, load(config.dataset, config.split, config.limit, tmp_path))
        stages.append(plan(recipe)[-1])
        codes.append(json.dumps(environment(recipe).get("metrics", {})))
    assert len({stage.key for stage in stages}) == 1
    assert len({stage.result_key for stage in stages}) == len(changes)
    assert "scikit-learn==" in codes[1]


def test_a_config_without_metrics_is_stored_as_before_there_were_any() -> None:
    """So that studies and runs of before continue; one with metrics comes back from JSON."""
    assert not {"metrics", "metric_args"} & json.loads(TrainConfig().to_json()).keys()
    config = TrainConfig(metrics=METRICS, metric_args=ARGS)
    assert TrainConfig.from_json(config.to_json()) == config
    assert TrainConfig(metrics=METRICS).override({"metric.f1.average": "macro"}).metric_args == {
        "f1.average": "macro"
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "f2", "direction": "maximize"}, "Unknown objective 'f2'; did you mean 'f1'"),
        ({"objective": "f1"}, "With objective f1 direction must be given, minimize or maximize."),
        ({"second": "f2"}, "Unknown second objective 'f2'; did you mean 'f1'"),
    ],
)
def test_an_objective_must_be_one_of_the_metrics_and_needs_a_direction(
    settings: dict[str, Any], message: str
) -> None:
    """Nobody else knows whether more of it is better."""
    with pytest.raises(ConfigError, match=message):
        SweepConfig(train=TrainConfig(metrics=METRICS), **settings)


@pytest.mark.parametrize("name", ["metrics", "metric_args", "metric.f1.average"])
def test_metrics_are_not_searched(name: str) -> None:
    """They judge the trials."""
    with pytest.raises(ConfigError, match=rf"{name} cannot be searched: all trials of a study are"):
        check_name(name, TrainConfig(metrics=METRICS))


def test_a_diverged_run_counts_as_the_first_value_of_its_metric() -> None:
    """Or as the worst there is: the loss of its first batch is on another scale."""
    values = {"train_loss": 2.0, "val_loss": 2.0, "first_batch_loss": 2.3}

    def result(epoch: int, f1: float) -> EpochResult:
        about: dict[str, Any] = {"state_digest": "", "trained_for": "", "worker": "", "ended_at": 0}
        return EpochResult(epoch=epoch, values=values | {"f1": f1}, **about)

    assert penalty_of([result(1, 0.25), result(2, math.nan)], "f1", 20, 64, True) == 0.25
    assert penalty_of([result(1, math.nan)], "f1", 20, 64, True) == -UNKNOWN_LOSS
    assert not has_diverged([result(1, math.nan)], "f1")


WORDS = (
    "--study s --set optimizer=SGD,Adam --set lr=0.001,0.01,0.1 --epochs 2 --trials 5 --limit 50 "
    "--batch-size 10 --concurrent-trials 4 --device cpu --executor inline --no-promote "
)
F1 = (
    "--metric f1=sklearn.metrics:f1_score --set metric.f1.average=macro --metric top=brought:Hits "
    "--objective f1 --direction maximize"
)


def words_of(sample: Path, metrics: str) -> list[str]:
    """The words of a small sweep."""
    return [*WORDS.split(), "--dataset", str(sample), *metrics.split()]


@pytest.fixture
def folder(empty_database: Path, tmp_path: Path) -> Path:
    """A working folder with an empty MLflow database."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


def test_a_killed_sweep_by_a_metric_is_resumed_to_the_same_table(
    folder: Path, empty_database: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its report is by the metric and its direction, and its commands train and search the same."""
    words = words_of(sample, F1)
    ended = sweep(folder, words)
    assert ended.status == 0, ended.output
    assert "the highest f1 of a trial's epochs wins" in ended.output
    frames = load_study("s", f"sqlite:///{folder}/mlflow.db")
    best = frames.trials.loc[frames.trials["best_f1"].idxmax()]
    assert f"{best['best_f1']:.6g}" in ended.output
    assert best["best_f1"] == frames.curves["f1"].max()
    assert frames.maximize
    metrics = "--metric f1=sklearn.metrics:f1_score --metric top=brought:Hits"
    assert metrics in train_command(best)
    assert "--set metric.f1.average=macro" in train_command(best)
    again = sweep_command(frames, base_of(frames.settings), "", {})
    for given in (metrics, "--objective f1", "--direction maximize", "metric.f1.average="):
        assert given in again

    other = tmp_path_factory.mktemp("other")
    shutil.copy(empty_database, other)
    for point in ("state-written@3", "epoch-reported@4", "trial-told@2"):
        killed = finish(other, start(other, words, **{VARIABLE: point}))
        assert killed.status == -signal.SIGKILL, killed.output
    resumed = sweep(other, words)
    assert resumed.status == 0, resumed.output
    for got, wanted in zip(table(other), table(folder), strict=True):
        pd.testing.assert_frame_equal(got, wanted)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("moody", "error: metric it must return a number, but: ValueError: no metric today"),
        ("undefined", "all 5 failed, trial 0 with: it of epoch 1 must be a finite number, but is"),
    ],
)
def test_the_line_that_a_sweep_by_a_faulty_metric_gets(
    name: str, line: str, folder: Path, sample: Path
) -> None:
    """One that raises is refused before trials; one that is undefined fails those it judges."""
    words = f"--metric it=brought:{name} --objective it --direction minimize --set lr=0.001"
    ended = sweep(folder, words_of(sample, words))
    assert ended.status == 1, ended.output
    assert line in ended.output
    assert "Traceback" not in ended.output


def test_a_single_run_prints_its_metrics_and_can_be_verified(
    folder: Path, sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A metric that is not the objective may be undefined."""
    monkeypatch.chdir(folder)
    data = ["--dataset", str(sample), "--limit", "50", "--epochs", "1", "--device", "cpu"]
    metrics = ["--metric", "zeros=brought:share_of_zeros", "--metric", "it=brought:undefined"]
    assert main([*data, *metrics]) == 0
    printed = capsys.readouterr().out
    assert "  zeros " in printed.splitlines()[0]
    run_id = printed.partition("MLflow run ")[2].split()[0]
    assert main(["--from-run", run_id, "--verify"]) == 0
    assert "1 of 1 epochs are the same to the bit" in capsys.readouterr().out
