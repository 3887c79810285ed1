"""`SweepConfig`: all that a sweep is asked to do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sweeps.search.objectives import SECOND_OBJECTIVES
from sweeps.search.pruning import (
    FRUGAL_PRUNER,
    NO_PRUNER,
    PROMOTION_PRUNER,
    least_epochs,
    make_pruner,
)
from sweeps.search.sampling import (
    COMPLETE_ONLY,
    EVERY_POINT,
    FRUGAL,
    GRID,
    LEARN_FROM_OTHERS,
    ONE_OBJECTIVE_ONLY,
    SETTLED,
    TPE,
    TWO_OBJECTIVES_ONLY,
    Search,
    make_sampler,
)
from sweeps.space import Space, open_space
from trainer.config import TrainConfig
from trainer.errors import ConfigError, unknown
from trainer.metrics import OBJECTIVES, VAL_LOSS
from trainer.record import CheckpointRule
from trainer.references import is_reference

EXECUTORS = ("local", "inline")

_SHARE_OF_COMPARED = 0.5  # of all epochs, where values are compared: see benchmarks/RESULTS.md


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """One sweep, validated on construction.

    Attributes:
        train: what every trial has in common; what the space decides goes before it.
        space: a PATH.toml or `package.module:function` that says what a trial may be; "": the
            default.
        trials: how many the study is to have in all, whatever became of them.
        study: its name; made from the settings where none is given.
        objective: the metric trials are judged by, at its best epoch; a name in `OBJECTIVES`.
        second: what they are judged by beside it, a name in `SECOND_OBJECTIVES`; "": nothing.
        sampler: FrugalSampler, a class of `optuna.samplers`, or `package.module:Class`; where none
            is given FrugalSampler, or TPESampler with two objectives or a warm start.
        sampler_args: further arguments of that class, by name.
        pruner: which trials get further epochs: FrugalPruner, PromotionPruner, a class of
            `optuna.pruners`, `package.module:Class`, or "none", which NopPruner means too; where
            none is given FrugalPruner with FrugalSampler, "none" with two objectives and with
            samplers that learn from complete trials only, and PromotionPruner else.
        pruner_args: further arguments of that class, by name.
        search_seed: of the samplers; `train.seed` is that of weights and data order alone.
        executor: "local" trains in worker processes, "inline" in this one.
        workers: how many train at once; 0 means one for every `train.threads` cores.
        until_settled: end once the second half of the trials, 20 or more (with `compare` of each
            value), improved the best value by less than this share of it; None: all trials.
        timeout: seconds after which no further epoch is begun; None: no limit.
        checkpoints: which states are kept with each run.
        fresh: set a study of this name aside and begin anew.
        enqueue: points that are tried first; see `sweeps.known`.
        compare: a name that every trial has and that is one of some values: each value gets as many
            trials and epochs, chosen by its own results, and the best of each are then trained
            from other seeds; "": nothing is compared.
        warm_start: an earlier study, from whose trials the sampler learns too; "": none.

    Raises:
        ConfigError: a field is out of its range; the message names what was got and what may be.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    space: str = ""
    trials: int = 50
    study: str = ""
    objective: str = VAL_LOSS
    second: str = ""
    sampler: str = ""
    sampler_args: Mapping[str, Any] = field(default_factory=dict)
    pruner: str = ""
    pruner_args: Mapping[str, Any] = field(default_factory=dict)
    search_seed: int = 0
    executor: str = "local"
    workers: int = 0
    until_settled: float | None = None
    timeout: float | None = None
    checkpoints: CheckpointRule = CheckpointRule()  # noqa: RUF009 - frozen
    fresh: bool = False
    enqueue: tuple[str, ...] = ()
    compare: str = ""
    warm_start: str = ""

    def __post_init__(self) -> None:
        if not self.sampler:
            name = TPE if self.second or self.warm_start else FRUGAL
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
        for name, allowed in (("objective", OBJECTIVES), ("executor", EXECUTORS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(unknown(name, getattr(self, name), allowed))
        if not 0 <= self.search_seed < 2**32:
            raise ConfigError(
                f"search_seed must be at least 0 and below 2**32, but got {self.search_seed}."
            )
        _check_search(self)
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1, but got {self.trials}.")
        if self.workers < 0:
            raise ConfigError(f"workers must be at least 1, or auto, but got {self.workers}.")
        if self.until_settled is not None:
            if not 0 < self.until_settled < 1:
                raise ConfigError(f"until_settled must be in (0, 1), but got {self.until_settled}.")
            if self.second:
                raise ConfigError(
                    "With until_settled there must be one objective, but got "
                    f"{','.join(self.objectives)}."
                )
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"timeout must be above 0 seconds, but got {self.timeout:g}.")
        if not self.study:
            object.__setattr__(self, "study", _name(self))
        if not re.fullmatch(r"[\w.\-]{1,100}", self.study):
            raise ConfigError(
                "study must be 1 to 100 letters, digits and any of . _ - (it names a file), "
                f"but got {self.study!r}."
            )
        if self.warm_start == self.study:
            raise ConfigError(f"A study must learn from another one, but {self.study!r} is itself.")

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
            **({"warm_start": self.warm_start} if self.warm_start else {}),
        }


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Each setting that differs, as "name: old -> new"."""
    return [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _check_search(config: SweepConfig) -> None:
    """Refuse objectives, samplers and pruners that cannot go together."""
    second, sampler, pruner = config.second, config.sampler, config.pruner
    others = [name for name in SECOND_OBJECTIVES if name != config.objective]
    if second and second not in others:
        raise ConfigError(unknown("second objective", second, others))
    space = config.search_space  # raises where it cannot be read
    search = Search(seed=config.search_seed, conditional=space.conditional)
    make_sampler(sampler, config.sampler_args, search)  # these two raise what cannot be made
    stopping = make_pruner(pruner, config.pruner_args, config.train.epochs)
    unable = ONE_OBJECTIVE_ONLY if second else TWO_OBJECTIVES_ONLY
    if sampler in unable:
        count = "two objectives" if second else "one objective"
        raise ConfigError(
            f"With {count} sampler must be none of {', '.join(unable)}, but got {sampler!r}."
        )
    if config.compare:
        _check_compare(config)
    if config.warm_start and sampler not in LEARN_FROM_OTHERS and not is_reference(sampler):
        raise ConfigError(
            f"With a warm start sampler must be one of {', '.join(LEARN_FROM_OTHERS)} or "
            "package.module:Class, as others learn from no trials, or from generations of their "
            f"own, but got {sampler!r}."
        )
    if pruner != NO_PRUNER and second:
        raise ConfigError(
            "With two objectives pruner must be none, as a trial that falls behind in one may be "
            f"ahead in the other, but got {pruner!r}."
        )
    if pruner != NO_PRUNER and sampler in COMPLETE_ONLY:
        raise ConfigError(
            f"With sampler {sampler} pruner must be none, as it learns from complete trials only, "
            f"but got {pruner!r}."
        )
    least, epochs = least_epochs(stopping), config.train.epochs
    if epochs < least:
        raise ConfigError(
            f"With pruner {pruner} epochs must be at least {least}, but got {epochs}; with so few "
            "pruner may be PercentilePruner, MedianPruner or none."
        )
    _ = config.grid  # raises where there is no end of points


def _check_compare(config: SweepConfig) -> None:
    """Refuse to compare what has no values, or what a sampler goes through by itself."""
    space = config.search_space
    able = [name for name in space.always if len(space.choices(name)) > 1]
    if config.compare not in able:
        if not able:
            raise ConfigError(
                "compare must be a name that every trial has and that is one of some values, but "
                f"the space has none, and got {config.compare!r}."
            )
        raise ConfigError(unknown("name to compare", config.compare, dict.fromkeys(able)))
    if config.second:
        raise ConfigError(f"With compare there must be one objective, but got {config.second!r}.")
    if config.sampler in SETTLED:
        raise ConfigError(
            "With compare sampler must be one that draws values, as each value has a sampler of "
            f"its own, but got {config.sampler!r}."
        )


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
