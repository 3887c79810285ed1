"""SweepConfig refuses what cannot be run, and names a study by all that decides its trials."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import npz

from sweeps.settings.check import check_objectives, check_sweep
from sweeps.settings.config import SweepConfig
from sweeps.settings.identity import difference
from trainer.data import load
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 0}, ["trials", "at least 1", "0"]),
        ({"workers": -1}, ["workers", "-1"]),
        ({"search_seed": -1}, ["search_seed", "at least 0", "-1"]),
        ({"search_seed": 2**32}, ["search_seed", "below 2**32", "4294967296"]),
        ({"timeout": 0.0}, ["timeout", "above 0"]),
        ({"until_settled": 1.5}, ["until_settled", "(0, 1]", "1.5"]),
        (
            {"until_settled": 0.01, "second": "seconds"},
            ["until_settled", "one objective", "val_loss,seconds"],
        ),
        ({"patience": 0}, ["patience", "at least 1", "0"]),
        ({"target": float("nan")}, ["target", "must be a number", "nan"]),
        ({"patience": 3, "second": "seconds"}, ["patience", "one objective", "val_loss,seconds"]),
        ({"target": 3.0, "second": "seconds"}, ["target", "one objective", "val_loss,seconds"]),
        ({"train": 5}, ["train must be a TrainConfig", "5"]),
        ({"sampler": 3}, ["sampler must be a text", "3"]),
        ({"enqueue": "lr=1"}, ["enqueue must be a tuple of texts", "'lr=1'"]),
        ({"enqueue": 5}, ["enqueue must be a tuple of texts", "5"]),
        ({"checkpoints": "best"}, ["checkpoints must be a CheckpointRule", "'best'"]),
        ({"objective": "val_los"}, ["objective", "'val_loss'"]),
        ({"sampler": "tpe"}, ["sampler", "'tpe'", "'TPESampler'", "package.module:Class"]),
        ({"pruner": "asha"}, ["pruner", "'SuccessiveHalvingPruner'", "none"]),
        (
            {"sampler": "TPESampler", "sampler_args": {"startup": 3}},
            ["TPESampler", "'n_startup_trials'"],
        ),
        ({"sampler_args": {"startup": 3}}, ["FrugalSampler takes no arguments", "'startup'"]),
        ({"pruner_args": {"shar": 3}}, ["FrugalPruner", "'share'"]),
        ({"pruner_args": {"share": 1.5}}, ["FrugalPruner(share=1.5", "(0, 1]"]),
        ({"compare": "optimiser"}, ["name to compare", "'optimizer'"]),
        ({"compare": "lr"}, ["name to compare", "'lr'", "optimizer"]),
        ({"compare": "optimizer", "second": "seconds"}, ["compare", "one objective", "'seconds'"]),
        ({"compare": "optimizer", "sampler": "GridSampler"}, ["compare", "'GridSampler'"]),
        ({"sampler": "GridSampler", "sampler_args": {"points": 3}}, ["points", "by the sweep"]),
        (
            {"pruner": "PercentilePruner", "pruner_args": {"percentile": 101}},
            ["PercentilePruner(percentile=101", "between 0"],
        ),
        ({"pruner": "none", "pruner_args": {"x": 1}}, ["none takes no arguments", "'x'"]),
        ({"executor": "locl"}, ["executor", "'local'"]),
        ({"space": ["lr"]}, ["space", "PATH.toml", "a dict", "['lr']"]),
        ({"space": {"lr": [{0.1}]}}, ["space", "plain values", "set"]),
        ({"study": ""}, ["study", "''", "letters"]),
        ({"study": "a/b"}, ["study", "'a/b'", "letters"]),
        ({"second": "second"}, ["second objective", "'seconds'"]),
        ({"second": "val_loss"}, ["second objective", "'val_loss'", "running_loss"]),
        ({"objective": "seconds"}, ["objective", "'seconds'", "val_loss"]),
        ({"sampler": "NSGAIISampler"}, ["one objective", "not be one of", "'NSGAIISampler'"]),
        ({"sampler": "CmaEsSampler", "second": "seconds"}, ["two objectives", "'CmaEsSampler'"]),
        ({"pruner": "MedianPruner", "second": "seconds"}, ["two", "none", "'MedianPruner'"]),
        (
            {"pruner": "MedianPruner", "sampler": "GPSampler"},
            ["GPSampler", "none", "complete trials", "'MedianPruner'"],
        ),
        (
            {"pruner": "HyperbandPruner", "train": TrainConfig(epochs=2)},
            ["HyperbandPruner", "at least 3", "2"],
        ),
        (
            {"pruner": "PatientPruner", "train": TrainConfig(epochs=6)},
            ["PatientPruner", "at least 7", "6"],
        ),
        (
            {"pruner": "PatientPruner", "pruner_args": {"patience": 30}},
            ["PatientPruner", "at least 32", "20"],
        ),
    ],
)
def test_a_bad_field_is_named_with_what_was_got_and_what_may_be(
    changes: dict[str, Any], words: list[str]
) -> None:
    """One line says it all."""
    with pytest.raises(ConfigError) as caught:
        check_sweep(SweepConfig(**changes))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_how_long_and_where_a_sweep_runs_does_not_name_its_study() -> None:
    """The same command with more trials or other workers resumes the study."""
    name = SweepConfig().study_name
    for changes in (
        {"trials": 60},
        {"workers": 3},
        {"timeout": 5.0},
        {"until_settled": 0.01},
        {"target": 0.1},
        {"executor": "inline"},
    ):
        assert SweepConfig(**changes).study_name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "running_loss"},
        {"second": "seconds", "pruner": "none"},
        {"sampler": "RandomSampler"},
        {"sampler": "TPESampler", "sampler_args": {"n_startup_trials": 20}},
        {"pruner_args": {"share": 0.5}},
        {"compare": "optimizer"},
        {"patience": 3},
        {"pruner": "none"},
        {"train": TrainConfig(epochs=21)},
        {"train": TrainConfig(batch_size=32)},
        {"train": TrainConfig(seed=1)},
        {"search_seed": 1},
        {"train": TrainConfig(limit=100)},
        {"train": TrainConfig(threads=2)},
        {"train": TrainConfig(dataset="digits")},
    ],
)
def test_whatever_decides_the_trials_names_another_study(changes: dict[str, Any]) -> None:
    """Other settings are another study, and the difference can be said."""
    one, other = SweepConfig(), SweepConfig(**changes)
    assert one.study_name != other.study_name
    assert difference(one.settings(), other.settings())


@pytest.mark.parametrize(
    ("changes", "pruner"),
    [
        ({}, "FrugalPruner"),
        ({"sampler": "RandomSampler"}, "PromotionPruner"),
        ({"sampler": "GPSampler"}, "none"),
        ({"sampler": "CmaEsSampler"}, "none"),
        ({"second": "seconds"}, "none"),
        ({"sampler": "NSGAIISampler", "second": "seconds"}, "none"),
        ({"pruner": "MedianPruner"}, "MedianPruner"),
        ({"pruner": "NopPruner"}, "none"),
    ],
)
def test_the_pruner_that_is_not_named_fits_the_rest(changes: dict[str, Any], pruner: str) -> None:
    """It has its real name, and naming it makes no other study."""
    assert SweepConfig(**changes).pruner == pruner
    assert SweepConfig(**changes) == SweepConfig(**{**changes, "pruner": pruner})


def test_arguments_are_settings_only_where_there_are_any() -> None:
    """What a class has of itself is not written down a second time."""
    assert not {"sampler_args", "pruner_args"} & SweepConfig().settings().keys()
    config = SweepConfig(pruner_args={"share": 0.5})
    assert config.settings() == SweepConfig().settings() | {"pruner_args": {"share": 0.5}}


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_a_space_without_an_end_is_not_tried_point_by_point(sampler: str, tmp_path: Path) -> None:
    """A range without steps has no points; the line says what it needs."""
    space = tmp_path / "space.toml"
    space.write_text("lr = { low = 1e-5, high = 0.1, log = true }")
    with pytest.raises(ConfigError, match="a step or a grid") as caught:
        check_sweep(SweepConfig(sampler=sampler, space=str(space)))
    assert "\n" not in str(caught.value)
    assert SweepConfig(sampler="RandomSampler", space=str(space)).grid is None


def test_objectives_have_their_directions() -> None:
    """More accuracy is better, more loss or time is not."""
    assert SweepConfig().directions == ["minimize"]
    config = SweepConfig(objective="val_accuracy", second="seconds")
    assert config.objectives == ("val_accuracy", "seconds")
    assert config.directions == ["maximize", "minimize"]
    assert config.settings()["objective"] == "val_accuracy,seconds"


def test_a_name_can_be_read() -> None:
    """The settings people look for stand in it."""
    train = TrainConfig(dataset="digits", epochs=7, batch_size=32, limit=100)
    assert SweepConfig(train=train).study_name.startswith("digits-test-n100-e7-b32-frugal-")


def test_what_is_searched_does_not_name_the_study() -> None:
    """Optimizer and rates of the fixed part are replaced by every trial."""
    train = TrainConfig()
    other = replace(train, optimizer="Adam", lr=0.5, step_size=2, gamma=0.9)
    assert SweepConfig(train=train).study_name == SweepConfig(train=other).study_name


def test_a_study_on_a_folder_is_named_for_it() -> None:
    """With a slash at its end or without one."""
    for dataset in ("some/photos/", "some/photos"):
        assert SweepConfig(train=TrainConfig(dataset=dataset)).study_name.startswith(
            "photos-test-e20-"
        )


def test_accuracy_is_no_objective_where_there_are_no_classes(tmp_path: Path) -> None:
    """That is said before a trial is begun, whichever of two objectives it is."""
    targets = {"train_labels": np.ones((40, 2)), "test_labels": np.ones((20, 2))}
    data = load(npz(tmp_path / "a.npz", **targets), "test", None, tmp_path)
    for names in ({"objective": "val_accuracy"}, {"second": "val_accuracy"}):
        with pytest.raises(ConfigError, match="objective must be val_loss, train_loss or running_"):
            check_objectives(SweepConfig(**names), data)
    check_objectives(SweepConfig(second="seconds"), data)


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "-x", "a/b", "a\nb", "a" * 101, "研" * 61])
def test_a_study_whose_name_is_no_file_name_is_refused(name: str) -> None:
    """Nor one that a shell takes for an option, or too long with the endings of its files."""
    with pytest.raises(ConfigError, match="study must be 1 to 100 letters, digits"):
        SweepConfig(study=name)
    for fits in ("a", "_", "9.b-c_d", "a" * 100, "研" * 60):
        assert SweepConfig(study=fits).study == fits
