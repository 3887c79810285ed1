"""SweepConfig refuses what cannot be run, and names a study by all that decides its trials."""

from dataclasses import replace
from typing import Any

import pytest

from sweeps.config import SweepConfig, difference
from trainer.config import TrainConfig
from trainer.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 0}, ["trials", "at least 1", "0"]),
        ({"workers": -1}, ["workers", "-1"]),
        ({"timeout": 0.0}, ["timeout", "above 0"]),
        ({"objective": "val_los"}, ["objective", "'val_loss'"]),
        ({"sampler": "tp"}, ["sampler", "'tpe'"]),
        ({"pruner": "medium"}, ["pruner", "'median'"]),
        ({"executor": "locl"}, ["executor", "'local'"]),
        ({"study": "a/b"}, ["study", "'a/b'", "letters"]),
    ],
)
def test_a_bad_field_is_named_with_what_was_got_and_what_may_be(
    changes: dict[str, Any], words: list[str]
) -> None:
    """One line says it all."""
    with pytest.raises(ConfigError) as caught:
        SweepConfig(**changes)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_how_long_and_where_a_sweep_runs_does_not_name_its_study() -> None:
    """The same command with more trials or other workers goes on with the study."""
    name = SweepConfig().study
    for changes in ({"trials": 60}, {"workers": 3}, {"timeout": 5.0}, {"executor": "inline"}):
        assert SweepConfig(**changes).study == name


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "running_loss"},
        {"sampler": "random"},
        {"pruner": "none"},
        {"train": TrainConfig(epochs=21)},
        {"train": TrainConfig(batch_size=32)},
        {"train": TrainConfig(seed=1)},
        {"train": TrainConfig(limit=100)},
        {"train": TrainConfig(threads=2)},
        {"train": TrainConfig(dataset="digits")},
    ],
)
def test_whatever_decides_the_trials_names_another_study(changes: dict[str, Any]) -> None:
    """Other settings are another study, and the difference can be said."""
    one, other = SweepConfig(), SweepConfig(**changes)
    assert one.study != other.study
    assert difference(one.settings(), other.settings())


def test_a_name_can_be_read() -> None:
    """The settings people look for stand in it."""
    train = TrainConfig(dataset="digits", epochs=7, batch_size=32, limit=100)
    assert SweepConfig(train=train).study.startswith("digits-test-n100-e7-b32-percentile-")


def test_what_is_searched_does_not_name_the_study() -> None:
    """Optimizer and rates of the fixed part are replaced by every trial."""
    train = TrainConfig()
    other = replace(train, optimizer="Adam", lr=0.5, step_size=2, gamma=0.9)
    assert SweepConfig(train=train).study == SweepConfig(train=other).study
