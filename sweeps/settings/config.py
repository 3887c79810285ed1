"""`SweepConfig`: what a sweep searches and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

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
from sweeps.settings.execution import Execution
from sweeps.settings.identity import readable_name
from sweeps.settings.labels import parse_tags, tags
from sweeps.settings.values import directions, file_name, space
from sweeps.space import Space, open_space
from trainer.errors import ConfigError, unknown
from trainer.metrics import OBJECTIVES, VAL_LOSS
from trainer.settings.config import TrainConfig
from trainer.settings.fields import (
    fraction,
    instance_of,
    integer,
    number,
    one_of,
    setting,
)
from trainer.settings.references import code_digest, is_reference
from trainer.tracking.record import CHECKPOINTS_HELP, CheckpointRule

_MAY_BE_CODE = ("model", "loss", "optimizer", "scheduler")  # parameters that may name user code

_SHARE_OF_COMPARED = 0.5  # FrugalPruner's share with `compare`: see benchmarks/RESULTS.md


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Execution):
    """Configuration of one sweep.

    Construction checks each field by itself, without Optuna and without reading files;
    `sweeps.settings.check.check_sweep` checks how they fit together. `train` is the config shared
    by all trials; values from the space override it.

    Raises:
        ConfigError: a field has an invalid value; the message has the valid ones.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    trials: int = setting(
        50, "Target number of trials of the study, whatever their outcome.", integer(1)
    )
    study: str | None = setting(
        None, "Name of the study.", file_name, metavar="NAME", shown="derived from the settings"
    )
    space: str | Mapping[str, Any] = setting(
        "",
        "Search space: a PATH.toml or package.module:function; see sweeps.space and --set.",
        space,
        parse=str,
        shown="optimizer, lr, step_size, gamma",
    )
    objective: str = setting(
        VAL_LOSS,
        "val_loss, running_loss, train_loss or val_accuracy, at its best epoch. For two "
        "objectives, add another of these or the training time: val_loss,seconds. Also the "
        "name of a --metric; with --trainable, any metrics that it returns.",
        instance_of(str, "a text"),
    )
    direction: str = setting(
        "",
        "minimize or maximize the objective; for two objectives minimize,maximize, say.",
        directions,
        metavar="DIRECTION",
        shown="maximize for val_accuracy, minimize for other built-in ones",
    )
    second: str = setting("", "Second objective; empty: none.", flag="")
    sampler: str = setting(
        "",
        "FrugalSampler, a class of optuna.samplers, or package.module:Class. FrugalSampler: "
        "learns from every epoch, and suggests the point with the largest expected improvement "
        "of the best value per epoch; TPESampler: learns from all trials, works with any space; "
        "RandomSampler: a baseline for the others; GridSampler: every point of a small space once; "
        "QMCSampler: spreads trials more evenly than random; GPSampler: for few, long trials, may "
        "take seconds per suggestion; CmaEsSampler: for many trials of numeric parameters, since "
        "it draws categorical ones at random; NSGAIISampler: for two objectives and several "
        "hundred trials.",
        shown=FRUGAL,
    )
    sampler_args: Mapping[str, Any] = setting(
        {}, "Argument of the sampler class (n_startup_trials=20).", flag="--sampler-arg"
    )
    pruner: str = setting(
        "",
        "FrugalPruner, PromotionPruner, a class of optuna.pruners, package.module:Class, or none. "
        "FrugalPruner: suspends trials, resumes the one with the largest expected improvement "
        "of the best value per epoch, and trains a quarter of all epochs at most; "
        "PromotionPruner: suspends trials, and resumes the better half at epoch 1, 2, 4, ...; "
        "the others stop trials for good. "
        "PercentilePruner: those below the best quarter, once 5 trials are complete; "
        "MedianPruner: those below the better half; SuccessiveHalvingPruner: those below the "
        "best third at epoch 2, 6, 18, ..., from the first trial on; HyperbandPruner: likewise, "
        "but some trials are judged later, in case early values mislead; PatientPruner: "
        "those without a better value for 5 epochs; none: train every trial to the end, as "
        "GPSampler, CmaEsSampler, NSGAIISampler, NSGAIIISampler and two objectives require.",
        shown=FRUGAL_PRUNER,
    )
    pruner_args: Mapping[str, Any] = setting(
        {}, "Argument of the pruner class (n_warmup_steps=3).", flag="--pruner-arg"
    )
    search_seed: int = setting(
        0,
        "Seed of the sampler; it changes which trials are tried, not how each is trained.",
        integer(0, below=2**32),
    )
    concurrent_trials: int | None = setting(
        None,
        "Trials in training at a time. A constant of the study: the same sweep follows from any "
        "number of workers.",
        integer(1),
        metavar="N",
        shown="4, or twice the workers",
    )
    compare: str = setting(
        "",
        "Compare the values of this parameter with equal numbers of trials and epochs; the best "
        "trials of each value are then trained from other seeds.",
        metavar="NAME",
    )
    enqueue: tuple[str, ...] = setting(
        (),
        "Points to try first: lr=0.1,optimizer=SGD, a FILE.json or .csv, or study:NAME:top=K.",
        metavar="POINTS",
    )
    until_settled: float | None = setting(
        None,
        "Stop early, once the second half of at least 20 trials improved the best value by less "
        "than this fraction, such as 0.01. A good choice is the variation between seeds, which "
        "sweeps.confirm measures.",
        fraction,
        metavar="FRACTION",
    )
    patience: int | None = setting(
        None,
        "End a trial as complete once its objective has not improved for this many epochs.",
        integer(1),
        metavar="EPOCHS",
    )
    target: float | None = setting(
        None,
        "End the sweep once the objective reaches this value.",
        number,
        metavar="VALUE",
    )
    tags: Mapping[str, Any] = setting(
        {},
        "Tag of all runs of the study in MLflow (team=vision).",
        tags,
        flag="--tag",
        metavar="KEY=VALUE",
        parse=parse_tags,
    )
    description: str = setting("", "Description of the study's run in MLflow.", metavar="TEXT")
    checkpoints: CheckpointRule = setting(
        CheckpointRule(),
        CHECKPOINTS_HELP,
        instance_of(CheckpointRule, "a CheckpointRule"),
        parse=CheckpointRule.parse,
    )
    fresh: bool = setting(False, "Set aside an existing study of this name and start a new one.")

    def __post_init__(self) -> None:
        super().__post_init__()
        instance_of(TrainConfig, "a TrainConfig")("train", self.train)
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
        self._check_objectives()
        for name in ("until_settled", "patience", "target"):
            if self.second and getattr(self, name) is not None:
                raise ConfigError(
                    f"With {name} there must be one objective, but got {','.join(self.objectives)}."
                )

    def _check_objectives(self) -> None:
        if not self.train.trainable:
            own = self.train.metrics
            one_of((*OBJECTIVES, *own))("objective", self.objective)
            others = [name for name in (*SECOND_OBJECTIVES, *own) if name != self.objective]
            if self.second and self.second not in others:
                raise ConfigError(unknown("second objective", self.second, others))
        given = self.direction.split(",") if self.direction else []
        if given and len(given) != len(self.objectives):
            raise ConfigError(
                f"direction must be one for each of {','.join(self.objectives)}, but got "
                f"{self.direction!r}."
            )
        for name in self.objectives if not given else ():
            if name not in SECOND_OBJECTIVES:
                raise ConfigError(
                    f"With objective {name} direction must be given, minimize or maximize."
                )

    @property
    def study_name(self) -> str:
        """`study` if given, else a readable name with a hash of all settings.

        Deriving the name reads the space.
        """
        if self.study:
            return self.study
        return readable_name(self.train, self.pruner, self.settings())

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objective, and the second one if there are two."""
        return (self.objective, self.second) if self.second else (self.objective,)

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Optuna's direction of each objective."""
        given = self.direction.split(",") if self.direction else self.objectives
        is_max = [it == "maximize" or SECOND_OBJECTIVES.get(it, False) for it in given]
        return ["maximize" if it else "minimize" for it in is_max]

    @property
    def maximize(self) -> bool:
        """Whether a higher objective is better."""
        return self.directions[0] == "maximize"

    @cached_property
    def search_space(self) -> Space:
        """The search space, opened once."""
        return open_space(self.space, self.train)

    @cached_property
    def grid(self) -> list[dict[str, Any]] | None:
        """Optuna's parameters of every point, if the sampler tries all points; else None."""
        if self.sampler not in EVERY_POINT:
            return None
        if self.sampler != GRID and not self.search_space.searched:
            return None  # the points of a function are found only by calling it
        return self.search_space.points(self.train)

    @property
    def references(self) -> list[str]:
        """References to user code in the config and, as far as it lists them, in the space."""
        chosen = [it for name in _MAY_BE_CODE for it in self.search_space.choices(name)]
        named = (self.sampler, self.pruner, *self.train.user_code, *chosen)
        return sorted({it for it in named if is_reference(it)})

    def settings(self) -> dict[str, Any]:
        """Everything that determines the trials of a study, as JSON values.

        Two sweeps with equal settings are the same study.
        """
        code = {reference: code_digest(reference)[:16] for reference in self.references}
        train: dict[str, Any] = json.loads(self.train.to_json())
        for name in self.search_space.always:
            train.pop(name, None)
        return train | {
            "objective": ",".join(self.objectives),
            **({"direction": self.direction} if self.direction else {}),
            "sampler": self.sampler,
            **({"sampler_args": {**self.sampler_args}} if self.sampler_args else {}),
            "pruner": self.pruner,
            **({"pruner_args": {**self.pruner_args}} if self.pruner_args else {}),
            "search_seed": self.search_seed,
            "space": self.search_space.describe(self.train),
            **({"compare": self.compare} if self.compare else {}),
            **({"patience": self.patience} if self.patience is not None else {}),
            **({"code": code} if code else {}),
        }
