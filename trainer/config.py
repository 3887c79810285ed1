"""`TrainConfig`: all that determines the numbers of one training run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from trainer.errors import ConfigError, unknown

DATASETS = ("cifar10", "digits")
SPLITS = ("test", "train")
MODELS = ("tutorial",)
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run, validated on construction; it knows nothing of studies.

    Attributes:
        dataset: a name in `DATASETS`, or the path of an `.npz` file.
        split: "test" trains on the test images as the tutorial does, "train" on the others.
        limit: train on the first `limit` images only and validate on the first `limit // 5`.
        model: a name in `MODELS`.
        optimizer: the name of a class in `torch.optim`.
        optimizer_args: further arguments of that class, by name.
        lr: initial learning rate, above 0.
        step_size: epochs between two decays of the rate (StepLR), at least 1.
        gamma: factor of each decay (StepLR), in (0, 1].
        epochs: passes over the training data.
        batch_size: images per batch.
        shuffle: whether each epoch has its own order of images.
        seed: of initial weights, data order and whatever draws in training.
        device: "auto" takes a GPU where there is one.
        threads: of one worker on a CPU; part of what determines the numbers.

    Raises:
        ConfigError: a field is out of its range; it says which, what was got and what may be.
    """

    dataset: str = "cifar10"
    split: str = "test"
    limit: int | None = None
    model: str = "tutorial"
    optimizer: str = "SGD"
    optimizer_args: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 0.01
    step_size: int = 5
    gamma: float = 0.1
    epochs: int = 20
    batch_size: int = 64
    shuffle: bool = True
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str) or not (
            self.dataset in DATASETS or self.dataset.endswith(".npz")
        ):
            raise ConfigError(unknown("dataset", self.dataset, (*DATASETS, "PATH.npz")))
        _choice("split", self.split, SPLITS)
        _choice("model", self.model, MODELS)
        _choice("device", self.device, DEVICES)
        for name, least in (("step_size", 1), ("epochs", 1), ("batch_size", 1), ("threads", 1)):
            _at_least(name, getattr(self, name), least)
        _at_least("seed", self.seed, 0)
        if self.seed >= 2**64:
            raise ConfigError(f"seed must be below 2**64, but got {self.seed}.")
        if self.limit is not None:
            _at_least("limit", self.limit, 5)
        if not (_is_number(self.lr) and self.lr > 0):
            raise ConfigError(f"lr must be a number above 0, but got {self.lr!r}.")
        if not (_is_number(self.gamma) and 0 < self.gamma <= 1):
            raise ConfigError(f"gamma must be in (0, 1], but got {self.gamma!r}.")
        if not isinstance(self.shuffle, bool):
            raise ConfigError(f"shuffle must be true or false, but got {self.shuffle!r}.")
        if not isinstance(self.optimizer_args, Mapping):
            raise ConfigError(
                f"optimizer_args must be arguments by name, but got {self.optimizer_args!r}."
            )

        from trainer.optim import check_optimizer  # torch is slow to import; --help needs none

        check_optimizer(self.optimizer, self.optimizer_args)

    @property
    def label(self) -> str:
        """What tells a run from others, for people."""
        rates = f"lr={self.lr:g} step_size={self.step_size} gamma={self.gamma:g}"
        return f"{self.optimizer} {rates}"

    def to_json(self) -> str:
        """The whole config, enough to train the run again; `from_json` reads it."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: the text is no JSON object, or has other fields than a config.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"A config must be JSON, but: {error}.") from error
        if not isinstance(values, dict):
            raise ConfigError(f"A config must be a JSON object, but got {values!r}.")
        known = [item.name for item in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(unknown("field of a config", name, known))
        return cls(**values)


def _choice(name: str, got: str, allowed: tuple[str, ...]) -> None:
    if got not in allowed:
        raise ConfigError(unknown(name, got, allowed))


def _is_number(got: object) -> bool:
    return isinstance(got, (int, float)) and not isinstance(got, bool) and math.isfinite(got)


def _at_least(name: str, got: object, least: int) -> None:
    if not isinstance(got, int) or isinstance(got, bool) or got < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, but got {got!r}.")
