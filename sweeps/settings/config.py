"""`SweepConfig`: what a sweep searches and how; `ConfirmConfig` and `Places` besides."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import trainer.settings.paths
from sweeps.search.names import (
    COMPLETE_ONLY,
    EVERY_POINT,
    FRUGAL,
    FRUGAL_PRUNER,
    GRID,
    NO_PRUNER,
    PROMOTION_PRUNER,
    TPE,
)
from sweeps.search.objectives import SECOND_OBJECTIVES
from sweeps.space import Space, open_space
from trainer.errors import ConfigError, unknown
from trainer.metrics import OBJECTIVES, VAL_LOSS
from trainer.settings.config import TrainConfig
from trainer.settings.fields import check_fields, one_of, positive, setting, share, whole
from trainer.settings.references import code_digest, is_reference
from trainer.tracking.record import CHECKPOINTS_HELP, CheckpointRule

EXECUTORS = ("local", "inline")

_BROUGHT = ("model", "loss", "optimizer", "scheduler")  # what a space may name code for

_SHARE_OF_COMPARED = 0.5  # of all epochs, where values are compared: see benchmarks/RESULTS.md


def parse_workers(text: str) -> int:
    """How many workers: "auto" is 0.

    Raises:
        ConfigError: another word, or a number below 1.
    """
    if text == "auto":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(
            f"workers must be auto or a whole number of at least 1, but got {text!r}."
        )
    return int(text)


def _is_space(name: str, got: Any) -> Any:
    """A dict is copied, with the types that TOML has."""
    if isinstance(got, str):
        return got
    try:
        if isinstance(got, Mapping):
            return json.loads(json.dumps(got))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must have plain values, but: {error}.") from error
    raise ConfigError(
        f"{name} must be a PATH.toml, package.module:function or a dict of what such a file holds, "
        f"but got {got!r}."
    )


def _is_file_name(name: str, got: Any) -> Any:
    if not isinstance(got, str) or not re.fullmatch(r"[\w.\-]{1,100}", got):
        raise ConfigError(
            f"{name} must be 1 to 100 letters, digits and any of . _ - (it names a file), but got "
            f"{got!r}."
        )
    return got


@dataclass(frozen=True, kw_only=True)
class Places(trainer.settings.paths.Places):
    """Where a sweep keeps things; None: in the working folder."""

    storage: str | None = setting(
        None, "Optuna's storage URL.", metavar="URL", shown="./mlruns/studies/NAME.journal"
    )


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How epochs are executed on this machine; results do not depend on it."""

    workers: int = setting(
        0,
        "Epochs trained in parallel.",
        whole(0),
        shown="auto: cores / threads",
        parse=parse_workers,
    )
    executor: str = setting(
        "local", "local: worker processes; inline: this one, for a debugger.", one_of(EXECUTORS)
    )
    timeout: float | None = setting(
        None, "Start no new epoch after this many seconds.", positive, metavar="SECONDS"
    )
    epoch_timeout: float | None = setting(
        None,
        "End an epoch that takes longer than this, and fail its trials (local workers).",
        positive,
        metavar="SECONDS",
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def execution(self) -> dict[str, Any]:
        """These fields by name, for another config."""
        return {item.name: getattr(self, item.name) for item in fields(Execution)}


@dataclass(frozen=True, kw_only=True)
class ConfirmConfig(Execution):
    """Which trials of a study are trained again from other seeds."""

    study: str | None = setting(None, "Name of the study.", metavar="NAME", shown="the newest")
    top: int = setting(
        3, "How many of its best trials; of each value where it compares some.", whole(1)
    )
    repeats: int = setting(
        5,
        "Other seeds that the best trials are trained from; where values are compared, those after "
        "the second only for the best trial of each value.",
        whole(1),
    )


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Execution):
    """Configuration of one sweep.

    Construction checks each field by itself, without Optuna and without reading files;
    `sweeps.settings.check.check_sweep` checks the whole. `train` is the config that all trials
    share; values from the space override it.

    Raises:
        ConfigError: a field is out of its range; the message names what was got and what may be.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    trials: int = setting(
        50, "Target number of trials of the study, whatever their outcome.", whole(1)
    )
    study: str | None = setting(
        None, "Name of the study.", _is_file_name, metavar="NAME", shown="made from the settings"
    )
    space: str | Mapping[str, Any] = setting(
        "",
        "What is searched: a PATH.toml or package.module:function; see sweeps.space.",
        _is_space,
        parse=str,
        shown="optimizer, lr, step_size, gamma",
    )
    objective: str = setting(
        VAL_LOSS,
        "val_loss, running_loss, train_loss or val_accuracy, at its best epoch; or two, as in "
        "val_loss,seconds: with the seconds of training, or any other of these.",
        one_of(OBJECTIVES),
    )
    second: str = setting("", "The second of two objectives; empty: there is one.", flag="")
    sampler: str = setting(
        "",
        "What suggests values: FrugalSampler, a class of optuna.samplers, or "
        "package.module:Class. FrugalSampler: learns from every epoch, and suggests what is "
        "expected to gain most for each; TPESampler: learns from all trials, fits any space; "
        "RandomSampler: a baseline for the others; GridSampler: "
        "every point of a small space once; QMCSampler: spread more evenly than random; "
        "GPSampler: for few, long trials, needs up to seconds to suggest one; CmaEsSampler: "
        "for many trials and numbers only, as it draws optimizers at random; NSGAIISampler: "
        "for two objectives and some hundred trials.",
        shown=FRUGAL,
    )
    sampler_args: Mapping[str, Any] = setting(
        {}, "Argument of the sampler's class (n_startup_trials=20).", flag="--sampler-arg"
    )
    pruner: str = setting(
        "",
        "Which trials get further epochs: FrugalPruner, PromotionPruner, a class of "
        "optuna.pruners, package.module:Class, or none. FrugalPruner: those that are expected "
        "to gain most for each, a quarter of all epochs at most; PromotionPruner: at epoch 1, "
        "2, 4, ... the better half; both stop no trial, but suspend it. PercentilePruner: "
        "after 5 full trials, stop whatever is not in their best quarter; MedianPruner: not in "
        "their better half; SuccessiveHalvingPruner: not in the best third at epoch 2, 6, 18, "
        "..., from the first trial on; HyperbandPruner: likewise, but some trials are judged "
        "later, in case early values mislead; PatientPruner: no better value for 5 epochs, "
        "whatever the others have; none: train all to the end, as GPSampler, CmaEsSampler, "
        "NSGAIISampler, NSGAIIISampler and two objectives need.",
        shown=FRUGAL_PRUNER,
    )
    pruner_args: Mapping[str, Any] = setting(
        {}, "Argument of the pruner's class (n_warmup_steps=3).", flag="--pruner-arg"
    )
    search_seed: int = setting(
        0,
        "Seed of the sampler; another one gives other trials from the same weights and data.",
        whole(0, below=2**32),
    )
    compare: str = setting(
        "",
        "Compare the values of this parameter: each gets as many trials and epochs, chosen by its "
        "own results, and the best of each are then trained from other seeds.",
        metavar="NAME",
    )
    enqueue: tuple[str, ...] = setting(
        (),
        "Try these points first: lr=0.1,optimizer=SGD, a FILE.json or .csv, or study:NAME:top=K.",
        metavar="POINTS",
    )
    until_settled: float | None = setting(
        None,
        "End early, once the second half of the trials, 20 or more, improved the best value by "
        "less than this share, as 0.01. What one configuration varies by between seeds is a good "
        "choice; sweeps.confirm measures it.",
        share,
        metavar="SHARE",
    )
    checkpoints: CheckpointRule = setting(
        CheckpointRule(), CHECKPOINTS_HELP, parse=CheckpointRule.parse
    )
    fresh: bool = setting(False, "Set a study of this name aside and begin anew.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in (("train", TrainConfig), ("checkpoints", CheckpointRule)):
            if not isinstance(got := getattr(self, name), kind):
                raise ConfigError(f"{name} must be a {kind.__name__}, but got {got!r}.")
        given = self.enqueue
        if not isinstance(given, (tuple, list)) or not all(isinstance(it, str) for it in given):
            raise ConfigError(f"enqueue must be a tuple of texts, but got {given!r}.")
        if not self.sampler:
            name = TPE if self.second else FRUGAL
            object.__setattr__(self, "sampler", name)
        if not self.pruner:
            full = bool(self.second) or self.sampler in COMPLETE_ONLY
            name = FRUGAL_PRUNER if self.sampler == FRUGAL else PROMOTION_PRUNER
            object.__setattr__(self, "pruner", NO_PRUNER if full else name)
        elif self.pruner == "NopPruner":
            object.__setattr__(self, "pruner", NO_PRUNER)
        if self.compare and self.pruner == FRUGAL_PRUNER:
            args = {"share": _SHARE_OF_COMPARED, **self.pruner_args}
            object.__setattr__(self, "pruner_args", args)
        others = [name for name in SECOND_OBJECTIVES if name != self.objective]
        if self.second and self.second not in others:
            raise ConfigError(unknown("second objective", self.second, others))
        if self.second and self.until_settled is not None:
            raise ConfigError(
                "With until_settled there must be one objective, but got "
                f"{','.join(self.objectives)}."
            )

    @property
    def study_name(self) -> str:
        """`study` if given, else a name derived from the settings; deriving it reads the space."""
        return self.study or _name(self)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The one or two names it is judged by."""
        return (self.objective, self.second) if self.second else (self.objective,)

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Of each of the objectives, as Optuna calls them."""
        names = self.objectives
        return ["maximize" if SECOND_OBJECTIVES[name] else "minimize" for name in names]

    @cached_property
    def search_space(self) -> Space:
        """What a trial may be."""
        return open_space(self.space, self.train.scheduler)

    @cached_property
    def grid(self) -> list[dict[str, Any]] | None:
        """Every point of the space, as Optuna's parameters, where each of them is to be tried."""
        if self.sampler not in EVERY_POINT:
            return None
        if self.sampler != GRID and not self.search_space.searched:
            return None  # of a function, where only its draws show what is left
        return self.search_space.points(self.train)

    @property
    def references(self) -> list[str]:
        """Code that users bring, as far as the space can say what it will bring."""
        chosen = [it for name in _BROUGHT for it in self.search_space.choices(name)]
        named = (self.train.scheduler, self.sampler, self.pruner, *self.train.references, *chosen)
        return sorted({it for it in named if is_reference(it)})

    def settings(self) -> dict[str, Any]:
        """What makes two sweeps the same study: all that decides its trials, as JSON values."""
        train: dict[str, Any] = json.loads(self.train.to_json())
        for name in self.search_space.always:
            train.pop(name, None)
        return train | {
            "objective": ",".join(self.objectives),
            "sampler": self.sampler,
            **({"sampler_args": {**self.sampler_args}} if self.sampler_args else {}),
            "pruner": self.pruner,
            **({"pruner_args": {**self.pruner_args}} if self.pruner_args else {}),
            "search_seed": self.search_seed,
            "space": self.search_space.describe(self.train),
            **({"compare": self.compare} if self.compare else {}),
            **({"code": code} if (code := self._code()) else {}),
        }

    def _code(self) -> dict[str, str]:
        """The state of each piece of code that users bring; of a space's function, see there."""
        return {reference: code_digest(reference)[:16] for reference in self.references}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Each setting that differs, as "name: old -> new"."""
    return [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _name(config: SweepConfig) -> str:
    """Readable, and with a hash of every setting, so that other settings are another study."""
    train = config.train
    stem = re.sub(
        r"[^\w.\-]", "_", train.dataset.removesuffix(".npz").rstrip("/").rsplit("/", 1)[-1]
    )
    words = [stem, train.split]
    if train.limit is not None:
        words.append(f"n{train.limit}")
    pruner = config.pruner.rpartition(":")[2].removesuffix("Pruner").lower()
    words += [f"e{train.epochs}", f"b{train.batch_size}", pruner]
    settings = json.dumps(config.settings(), sort_keys=True)
    return "-".join((*words, hashlib.sha256(settings.encode()).hexdigest()[:6]))
