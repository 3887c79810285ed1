from pathlib import Path
from typing import Any

import pytest

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.training.check import check_train


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "cifar", "Unknown dataset 'cifar'; did you mean 'cifar10'? Choices: "
         "FOLDER/, PATH.npz, cifar10, "),
        ("dataset", Path("a.npz"), "dataset must be a text, but got PosixPath('a.npz')."),
        ("split", "tets", "Unknown split 'tets'; did you mean 'test'? Choices: test, train."),
        ("model", "resnet", "Unknown model 'resnet'. Choices: package.module:name, tutorial."),
        ("device", "gpu", "Unknown device 'gpu'; did you mean 'cpu'? Choices: auto, cpu, cuda."),
        ("optimizer", "adm", "Unknown optimizer 'adm'; did you mean 'Adam'? Choices: ASGD, "),
        ("optimizer", 7, "optimizer must be a text, but got 7."),
        ("optimizer_args", {"momentun": 0.9}, "Unknown argument of SGD 'momentun'; did you mean "
         "'momentum'? Choices: "),
        ("optimizer_args", {"lr": 0.9}, "Unknown argument of SGD 'lr'"),
        ("optimizer_args", {"momentum": -1}, "SGD(momentum=-1) cannot train this model: Invalid "
         "momentum value: -1"),
        ("optimizer_args", {"momentum": "x"}, "SGD(momentum='x') cannot train this model: "),
        ("optimizer_args", {"momentum": {0.9}}, "SGD(momentum={0.9}) must have plain values: "),
        ("optimizer_args", "momentum=0.9", "optimizer_args must be arguments by name, but got "
         "'momentum=0.9'."),
        ("lr", 0.0, "lr must be a number above 0, but got 0.0."),
        ("lr", -0.1, "lr must be a number above 0, but got -0.1."),
        ("lr", float("nan"), "lr must be a number above 0, but got nan."),
        ("lr", float("inf"), "lr must be a number above 0, but got inf."),
        ("lr", "0.1", "lr must be a number above 0, but got '0.1'."),
        ("gamma", 0.0, "gamma must be in (0, 1], but got 0.0."),
        ("gamma", 1.5, "gamma must be in (0, 1], but got 1.5."),
        ("gamma", float("nan"), "gamma must be in (0, 1], but got nan."),
        ("gamma", None, "gamma must be in (0, 1], but got None."),
        ("step_size", 0, "step_size must be a whole number of at least 1, but got 0."),
        ("step_size", 2.5, "step_size must be a whole number of at least 1, but got 2.5."),
        ("epochs", 0, "epochs must be a whole number of at least 1, but got 0."),
        ("epochs", True, "epochs must be a whole number of at least 1, but got True."),
        ("batch_size", 0, "batch_size must be a whole number of at least 1, but got 0."),
        ("threads", 0, "threads must be a whole number of at least 1, but got 0."),
        ("seed", -1, "seed must be a whole number of at least 0, but got -1."),
        ("seed", 2**64, "seed must be below 2**64, but got 18446744073709551616."),
        ("limit", 4, "limit must be a whole number of at least 5, but got 4."),
        ("limit", "100", "limit must be a whole number of at least 5, but got '100'."),
        ("shuffle", "no", "shuffle must be true or false, but got 'no'."),
    ],
)  # fmt: skip
def test_a_bad_field_is_told_in_one_line_with_what_was_got_and_what_may_be(
    field: str, value: object, message: str
) -> None:
    """On construction, or by the check of the whole before anything is trained."""
    with pytest.raises(ConfigError) as caught:
        check_train(TrainConfig(**{field: value}))  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["SparseAdam", "Muon"])
def test_an_optimizer_that_cannot_train_this_network_is_refused_in_its_own_words(name: str) -> None:
    """What torch would raise in the first step is known before anything starts."""
    with pytest.raises(ConfigError, match=rf"{name}\(\) cannot train this model: .+"):
        check_train(TrainConfig(optimizer=name))


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(
            dataset="some/where/a.npz",
            split="train",
            limit=50,
            optimizer="Adam",
            optimizer_args={"betas": [0.5, 0.9], "amsgrad": True, "weight_decay": 1e-3},
            lr=0.1 + 0.2,
            step_size=3,
            gamma=1 / 3,
            epochs=7,
            batch_size=1,
            shuffle=False,
            seed=2**64 - 1,
            device="cpu",
            threads=2,
        ),
    ],
)
def test_json_gives_back_an_equal_config(config: TrainConfig) -> None:
    """What lies beside a checkpoint is enough to train it again, to the last bit of each rate."""
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "A config must be JSON, but: "),
        ("[1]", "A config must be a JSON object, but got [1]."),
        ('{"lrr": 1}', "Unknown field of a config 'lrr'; did you mean 'lr'? Choices: accumulate, "),
        ('{"lr": "fast"}', "lr must be a number above 0, but got 'fast'."),
        ('{"lr": NaN}', "lr must be a number above 0, but got nan."),
    ],
)
def test_json_that_is_no_config_is_an_error_that_says_why(text: str, message: str) -> None:
    """A file edited by hand is checked like anything else a user gives."""
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_json(text)
    assert str(caught.value).startswith(message)


def test_a_field_that_json_lacks_has_its_default() -> None:
    """Configs written before a field existed can still be read."""
    assert TrainConfig.from_json('{"lr": 0.5}') == TrainConfig(lr=0.5)


def test_a_config_cannot_be_changed() -> None:
    """Its keys were computed from what it was."""
    config: Any = TrainConfig()
    with pytest.raises(AttributeError):
        config.lr = 1.0
