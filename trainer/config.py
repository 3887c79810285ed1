"""`TrainConfig`: all that determines the numbers of one training run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, unknown
from trainer.references import is_reference

DATASETS = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist")
SPLITS = ("test", "train")
MODELS = ("tutorial",)
LOSSES = ("cross_entropy",)
AUGMENTATIONS = ("crop", "flip")
INTERVALS = ("epoch", "batch")
DEVICES = ("auto", "cpu", "cuda")

REFERENCE = "package.module:name"
_OWNERS = ("optimizer", "scheduler", "model")
_DATASET_FORMS = (*DATASETS, "FOLDER/", "PATH.npz", REFERENCE)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run, validated on construction; it knows nothing of studies.

    What is said to be a reference is `package.module:name` of something that users bring.

    Attributes:
        dataset: a name in `DATASETS`, a folder of images, the path of an `.npz` file, or a
            reference to a function that gives the arrays; see `trainer.data.prepare`.
        split: "test" trains on the test images as the tutorial does, "train" on the others.
        limit: train on the first `limit` images only and validate on the first `limit // 5`.
        image_size: height and width, in pixels, that images are brought to; None:
            they stay as they are.
        normalize: whether images are brought to mean 0 and deviation 1, by colour, as the training
            images have them.
        augment: words of `AUGMENTATIONS` with commas between: how training images are varied.
        model: a name in `MODELS`, or a reference to a function `() -> nn.Module` or
            `(num_classes, in_channels) -> nn.Module`.
        model_args: further arguments of that function, by name.
        loss: a name in `LOSSES`, or a reference to a function `(outputs, targets)` that gives the
            mean over a batch.
        optimizer: the name of a class in `torch.optim`, or a reference to another one.
        optimizer_args: further arguments of that class, by name.
        lr: initial learning rate, above 0.
        scheduler: the name of a class in `torch.optim.lr_scheduler`, a reference to another one, or
            "none"; see `trainer.schedule`.
        scheduler_args: further arguments of that class, by name.
        scheduler_interval: whether the scheduler is stepped after each "epoch" or each "batch".
        warmup: steps of a linear warm-up (LinearLR) before that schedule begins.
        warmup_start: share of the rate that the warm-up begins at, in (0, 1].
        step_size: steps between two decays of the rate (StepLR), at least 1.
        gamma: factor of each decay (StepLR, MultiStepLR, ExponentialLR), in (0, 1].
        epochs: passes over the training data.
        batch_size: images per batch.
        shuffle: whether each epoch has its own order of images.
        seed: of initial weights, data order and whatever draws in training.
        device: "auto" takes a GPU where there is one.
        threads: of one worker on a CPU; part of what determines the numbers.
        deterministic: whether a GPU may use only algorithms that give the same bits each time.
        unshared: where it is not empty, only runs with the same text share epochs.

    Raises:
        ConfigError: a field is out of its range; it says which, what was got and what may be.
    """

    dataset: str = "cifar10"
    split: str = "test"
    limit: int | None = None
    image_size: int | None = None
    normalize: bool = False
    augment: str = ""
    model: str = "tutorial"
    model_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    optimizer: str = "SGD"
    optimizer_args: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 0.01
    scheduler: str = "StepLR"
    scheduler_args: Mapping[str, Any] = field(default_factory=dict)
    scheduler_interval: str = "epoch"
    warmup: int = 0
    warmup_start: float = 1 / 3
    step_size: int = 5
    gamma: float = 0.1
    epochs: int = 20
    batch_size: int = 64
    shuffle: bool = True
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    deterministic: bool = True
    unshared: str = ""

    def __post_init__(self) -> None:
        if not (
            self.dataset in DATASETS
            or is_reference(self.dataset)
            or (isinstance(self.dataset, str) and self.dataset.endswith(".npz"))
            or _is_folder(self.dataset)
        ):
            raise ConfigError(unknown("dataset", self.dataset, _DATASET_FORMS))
        _choice("split", self.split, SPLITS)
        _choice("device", self.device, DEVICES)
        _choice("scheduler_interval", self.scheduler_interval, INTERVALS)
        _choice("model", self.model, MODELS, or_reference=True)
        _choice("loss", self.loss, LOSSES, or_reference=True)
        object.__setattr__(self, "augment", _words("augment", self.augment, AUGMENTATIONS))
        for name, least in (("step_size", 1), ("epochs", 1), ("batch_size", 1), ("threads", 1)):
            _at_least(name, getattr(self, name), least)
        _at_least("seed", self.seed, 0)
        if self.seed >= 2**64:
            raise ConfigError(f"seed must be below 2**64, but got {self.seed}.")
        _at_least("warmup", self.warmup, 0)
        if self.limit is not None:
            _at_least("limit", self.limit, 5)
        if self.image_size is not None:
            _at_least("image_size", self.image_size, 1)
        if not (_is_number(self.lr) and self.lr > 0):
            raise ConfigError(f"lr must be a number above 0, but got {self.lr!r}.")
        for name in ("gamma", "warmup_start"):
            got = getattr(self, name)
            if not (_is_number(got) and 0 < got <= 1):
                raise ConfigError(f"{name} must be in (0, 1], but got {got!r}.")
        for name in ("shuffle", "normalize", "deterministic"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, but got {getattr(self, name)!r}.")
        for name in ("optimizer_args", "scheduler_args", "model_args"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(
                    f"{name} must be arguments by name, but got {getattr(self, name)!r}."
                )

        # torch is slow to import; --help needs none
        from trainer.model import check_model
        from trainer.optim import check_optimizer
        from trainer.schedule import check_schedule

        check_model(self.model, self.model_args)
        check_optimizer(self.optimizer, self.optimizer_args, dense=self.model in MODELS)
        check_schedule(self)

    @property
    def references(self) -> tuple[str, ...]:
        """What of it is code that users bring and that an epoch runs."""
        fields = (self.model, self.loss, self.optimizer)
        return tuple(item for item in fields if is_reference(item))

    @property
    def label(self) -> str:
        """What tells a run from others, for people."""
        values = self.values()
        words = [str(values["optimizer"]).rpartition(":")[2], f"lr={self.lr:g}"]
        if self.scheduler != "StepLR":
            words.append(self.scheduler.rpartition(":")[2])
        given = ("warmup", "step_size", "gamma", *self.optimizer_args)
        more = [name for name in given if values.get(name)]
        more += [name for name in values if "." in name]
        return " ".join([*words, *(f"{name}={_short(values[name])}" for name in more)])

    def values(self) -> dict[str, Any]:
        """All of it by name, as `having` takes it, save what has no meaning for this run."""
        from trainer.schedule import arguments  # torch is slow to import; --help needs none

        inert = {"step_size", "gamma"} - set(arguments(self.scheduler))
        inert |= set() if self.unshared else {"unshared"}
        inert |= {"scheduler_interval"} if self.scheduler == "none" and not self.warmup else set()
        inert |= set() if self.warmup else {"warmup", "warmup_start"}
        values = {}
        for item in fields(self):
            if item.name not in {*inert, "optimizer_args", "scheduler_args", "model_args"}:
                values[item.name] = getattr(self, item.name)
        values |= self.optimizer_args
        for owner in ("scheduler", "model"):
            args: Mapping[str, Any] = getattr(self, f"{owner}_args")
            values |= {f"{owner}.{name}": value for name, value in args.items()}
        return values

    def having(self, values: Mapping[str, Any]) -> TrainConfig:
        """The config with these values: fields by name, arguments of the optimizer by theirs.

        Arguments of the scheduler and of the model are written scheduler.NAME and model.NAME.

        Raises:
            ConfigError: a name or a value that cannot be.
        """
        changes: dict[str, Any] = {}
        args: dict[str, dict[str, Any]] = {}
        known = {item.name for item in fields(self)} - {f"{owner}_args" for owner in _OWNERS}
        for name, value in values.items():
            owner, dot, rest = name.partition(".")
            if name in known:
                changes[name] = value
            elif dot and owner in _OWNERS:
                args.setdefault(owner, {})[rest] = value
            else:
                args.setdefault("optimizer", {})[name] = value
        for owner, given in args.items():
            changes[f"{owner}_args"] = {**getattr(self, f"{owner}_args"), **given}
        return replace(self, **changes)

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


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choice(name: str, got: str, allowed: tuple[str, ...], *, or_reference: bool = False) -> None:
    if got not in allowed and not (or_reference and is_reference(got)):
        raise ConfigError(unknown(name, got, (*allowed, REFERENCE) if or_reference else allowed))


def _words(name: str, got: str, allowed: tuple[str, ...]) -> str:
    """The words of `got`, each of `allowed`, in their order there."""
    if not isinstance(got, str):
        raise ConfigError(f"{name} must be words with commas between, but got {got!r}.")
    words = {word.strip() for word in got.split(",")} - {""}
    for word in words:
        _choice(name, word, allowed)
    return ",".join(word for word in allowed if word in words)


def _is_folder(dataset: object) -> bool:
    return isinstance(dataset, str) and ("/" in dataset or Path(dataset).is_dir())


def _is_number(got: object) -> bool:
    return isinstance(got, (int, float)) and not isinstance(got, bool) and math.isfinite(got)


def _at_least(name: str, got: object, least: int) -> None:
    if not isinstance(got, int) or isinstance(got, bool) or got < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, but got {got!r}.")
