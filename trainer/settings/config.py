"""`TrainConfig`: everything that determines the results of one training run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from trainer.errors import ConfigError, printable, unknown
from trainer.metrics import RESERVED
from trainer.settings.fields import (
    check_fields,
    fraction,
    integer,
    one_of,
    positive,
    reference_or_none,
    references_by_name,
    setting,
    subset_of,
)
from trainer.settings.references import is_reference

DATASETS = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist")
SPLITS = ("test", "train")
MODELS = ("tutorial",)
LOSSES = ("cross_entropy",)
AUGMENTATIONS = ("crop", "flip")
INTERVALS = ("epoch", "batch")
DEVICES = ("auto", "cpu", "cuda")

NICKNAMES = {"learning_rate": "lr"}
"""Names that other libraries use for our fields; the error for such a name suggests the field."""

_OWNERS = ("optimizer", "scheduler", "model", "loss", "metric")

_LATER = ("metrics", "metric_args", "loss_args", "accumulate", "ema_decay")
"""Fields that JSON has only where they differ from the default, so that existing runs and studies
continue: these were without them."""

OF_EVERY_RUN = (
    *("trainable", "trainable_args", "epochs"),
    *("seed", "device", "threads", "deterministic", "unshared"),
)
"""Fields that also apply to a training loop of the user's; all others are of the built-in one."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Configuration of one training run.

    Construction checks each field by itself, without torch and without reading files;
    `trainer.training.check.check_train` checks how they fit together. `package.module:name` refers
    to user code.

    Raises:
        ConfigError: a field has an invalid value; the message has the valid ones.
    """

    dataset: str = setting(
        "cifar10",
        "cifar10, cifar100, mnist, fashion_mnist, digits (needs no download), a FOLDER/ of images, "
        "a PATH.npz, or package.module:function.",
    )
    split: str = setting(
        "test",
        "test: train on the test images as the tutorial does; train: on the training images.",
        one_of(SPLITS),
    )
    limit: int | None = setting(
        None, "Train on the first N images, validate on N/5.", integer(5), metavar="N"
    )
    image_size: int | None = setting(
        None, "Resize images to N x N pixels.", integer(1), metavar="N", shown="no resizing"
    )
    normalize: bool = setting(
        False, "Normalize each channel by the mean and deviation of the training images."
    )
    augment: str = setting(
        "",
        "Augment training images: crop, flip, or crop,flip.",
        subset_of(*AUGMENTATIONS),
        shown="none",
    )
    model: str = setting(
        "tutorial",
        "tutorial, or package.module:function that returns an nn.Module.",
        one_of(MODELS, or_reference=True),
    )
    model_args: Mapping[str, Any] = setting({}, "Arguments of the model function.", flag="")
    loss: str = setting(
        "cross_entropy",
        "cross_entropy, or package.module:function of (outputs, targets), or a class of losses.",
        one_of(LOSSES, or_reference=True),
    )
    loss_args: Mapping[str, Any] = setting({}, "Arguments of the loss.", flag="")
    metrics: Mapping[str, str] = setting(
        {},
        "A metric of your own, measured on the validation data every epoch: a function of "
        "(outputs, targets) or (y_true, y_pred), or a class with update and compute; its "
        "arguments are --set metric.NAME.ARGUMENT=VALUE.",
        references_by_name(RESERVED),
        flag="--metric",
        metavar="NAME=package.module:function",
    )
    metric_args: Mapping[str, Any] = setting({}, "Arguments of the metrics.", flag="")
    optimizer: str = setting("SGD", "A class of torch.optim, or package.module:Class.")
    optimizer_args: Mapping[str, Any] = setting({}, "Arguments of the optimizer class.", flag="")
    lr: float = setting(0.01, "Learning rate.", positive)
    scheduler: str = setting(
        "StepLR", "A class of torch.optim.lr_scheduler, package.module:Class, or none."
    )
    scheduler_args: Mapping[str, Any] = setting({}, "Arguments of the scheduler class.", flag="")
    scheduler_interval: str = setting(
        "epoch", "Step the scheduler each epoch or each batch.", one_of(INTERVALS)
    )
    warmup: int = setting(0, "Steps of a linear warm-up before the schedule.", integer(0))
    warmup_start: float = setting(
        1 / 3, "Fraction of the learning rate at the start of the warm-up.", fraction, shown="1/3"
    )
    step_size: int = setting(5, "Steps between decays (StepLR).", integer(1))
    gamma: float = setting(0.1, "Factor of each decay (StepLR).", fraction)
    clip_grad_norm: float | None = setting(
        None,
        "Clip the norm of all gradients to this value.",
        positive,
        metavar="NORM",
        shown="none",
    )
    accumulate: int = setting(
        1, "Batches whose gradients are averaged for each step of the optimizer.", integer(1)
    )
    ema_decay: float | None = setting(
        None,
        "Evaluate and keep an exponential moving average of the weights with this decay.",
        fraction,
        metavar="DECAY",
        shown="no average",
    )
    trainable: str = setting(
        "",
        "A training loop of your own: package.module:Class; its values come from --set and the "
        "space.",
        reference_or_none,
        metavar="CLASS",
        shown="the built-in training",
    )
    trainable_args: Mapping[str, Any] = setting({}, "Values of its config.", flag="")
    epochs: int = setting(20, "Passes over the data.", integer(1))
    batch_size: int = setting(64, "Images per batch.", integer(1))
    shuffle: bool = setting(True, "Shuffle the training images each epoch.")
    seed: int = setting(
        0, "Seed of weights, data order, augmentation and dropout.", integer(0, below=2**64)
    )
    device: str = setting("auto", "auto (a GPU if available), cpu or cuda.", one_of(DEVICES))
    threads: int = setting(1, "CPU threads per worker.", integer(1))
    deterministic: bool = setting(True, "On a GPU, use only bitwise deterministic algorithms.")
    unshared: str = setting(
        "", "If not empty, epochs are shared only with runs of the same text.", flag=""
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for name in self.metric_args:
            if name.partition(".")[0] not in self.metrics:
                raise ConfigError(
                    "An argument of a metric must be metric.NAME.ARGUMENT with a NAME of --metric, "
                    f"which are {', '.join(self.metrics) or 'none'}, but got metric.{name}."
                )
        for item in fields(self) if self.trainable else ():
            value = getattr(self, item.name)
            if not self.applies(item.name) and not self.is_default(item.name):
                raise ConfigError(
                    f"With trainable {item.name} must be left out, as it is of the built-in "
                    f"training, but got {value!r}; a value of that name for the config of your "
                    f"loop is --set {item.name}=VALUE, or in the space."
                )

    def applies(self, name: str) -> bool:
        """Whether a field applies to this training: the built-in one, or one of the user's."""
        return name in OF_EVERY_RUN if self.trainable else not name.startswith("trainable")

    def is_default(self, name: str) -> bool:
        """Whether a field has its default."""
        return bool(getattr(self, name) == getattr(_DEFAULTS, name))

    @property
    def references(self) -> tuple[str, ...]:
        """References to user code that the training of an epoch runs."""
        fields = (self.trainable, self.model, self.loss, self.optimizer)
        return tuple(item for item in fields if is_reference(item))

    @property
    def user_code(self) -> tuple[str, ...]:
        """References to user code that a run calls, those of its scheduler and metrics too."""
        others = (self.scheduler, *self.metrics.values())
        return (*self.references, *(item for item in others if is_reference(item)))

    @property
    def label(self) -> str:
        """Display name of a run, from the values in which runs usually differ."""
        values = self.values()
        if self.trainable:
            return " ".join(_word(name, value) for name, value in self.trainable_args.items())
        words = [str(values["optimizer"]).rpartition(":")[2], f"lr={self.lr:g}"]
        if self.scheduler != "StepLR":
            words.append(self.scheduler.rpartition(":")[2])
        given = ("warmup", "step_size", "gamma", *self.optimizer_args)
        more = [name for name in given if values.get(name)]
        more += [it for it in values if "." in it and not it.startswith("metric.")]
        return " ".join((*words, *(_word(name, values[name]) for name in more)))

    def values(self) -> dict[str, Any]:
        """All values by name, as `override` takes them, without those this run does not use."""
        from trainer.settings.schedulers import arguments_of  # imports torch; --help needs none

        if self.trainable:
            names = [
                it for it in OF_EVERY_RUN if it != "trainable_args" and getattr(self, it) != ""
            ]
            return {it: getattr(self, it) for it in names} | dict(self.trainable_args)
        inert = {"step_size", "gamma"} - arguments_of(self.scheduler)
        inert |= {"trainable", "trainable_args"} | (set() if self.unshared else {"unshared"})
        inert |= {"scheduler_interval"} if self.scheduler == "none" and not self.warmup else set()
        inert |= set() if self.warmup else {"warmup", "warmup_start"}
        inert |= {name for name in _LATER if self.is_default(name)}
        inert |= {f"{owner}_args" for owner in _OWNERS}
        names = [item.name for item in fields(self) if item.name not in inert]
        values = {name: getattr(self, name) for name in names}
        values |= self.optimizer_args
        for owner in _OWNERS[1:]:
            args: Mapping[str, Any] = getattr(self, f"{owner}_args")
            values |= {f"{owner}.{name}": value for name, value in args.items()}
        return values

    def override(self, values: Mapping[str, Any]) -> TrainConfig:
        """Copy of the config with some values replaced.

        Names are fields, scheduler.NAME, model.NAME, loss.NAME, metric.METRIC.NAME or
        optimizer.NAME; any other name is an argument of the optimizer. With a trainable every name
        is one of its config, except those in `OF_EVERY_RUN`.

        Raises:
            ConfigError: an invalid value.
        """
        changes: dict[str, Any] = {}
        args: dict[str, dict[str, Any]] = {}
        is_own = bool(values.get("trainable", self.trainable))
        known = {*OF_EVERY_RUN} if is_own else {item.name for item in fields(self)}
        known -= {f"{owner}_args" for owner in (*_OWNERS, "trainable")}
        for name, value in values.items():
            owner, dot, rest = name.partition(".")
            if name in known:
                changes[name] = value
            elif is_own:
                args.setdefault("trainable", {})[name] = value
            elif dot and owner in _OWNERS:
                args.setdefault(owner, {})[rest] = value
            else:
                args.setdefault("optimizer", {})[name] = value
        for owner, given in args.items():
            changes[f"{owner}_args"] = {**getattr(self, f"{owner}_args"), **given}
        return replace(self, **changes)

    def to_json(self) -> str:
        """The complete config as JSON, enough to reproduce the run; `from_json` reads it."""
        values = {
            name: it
            for name, it in asdict(self).items()
            if self.applies(name) and not (name in _LATER and self.is_default(name))
        }
        return json.dumps(values, indent=2)

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: the text is not a JSON object, or has an unknown field or invalid value.
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


_DEFAULTS = TrainConfig()


def near_field(name: str) -> str:
    """The field that another name may be meant for; "" if there is none."""
    known = {item.name: item.name for item in fields(TrainConfig)} | NICKNAMES
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return known[near[0]] if near and name not in known.values() and "." not in name else ""


def _word(name: str, value: Any) -> str:
    return f"{name}={value:g}" if isinstance(value, float) else printable(f"{name}={value}")
