"""`SweepConfig`: all that a sweep is asked to do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps import space
from sweeps.sampling import PRUNERS, SAMPLERS
from trainer.config import TrainConfig
from trainer.errors import ConfigError, unknown
from trainer.metrics import OBJECTIVES, VAL_LOSS
from trainer.record import CheckpointRule

EXECUTORS = ("local", "inline")


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """One sweep, validated on construction.

    Attributes:
        train: what every trial has in common; the search replaces optimizer, lr, step_size, gamma.
        trials: how many the study is to have in all, whatever became of them.
        study: its name; made from the settings where none is given.
        objective: the metric trials are judged by, at its best epoch; a name in `OBJECTIVES`.
        sampler: a name in `SAMPLERS`.
        pruner: a name in `PRUNERS`.
        executor: "local" trains in worker processes, "inline" in this one.
        workers: how many train at once; 0 means one for every `train.threads` cores.
        timeout: seconds after which no further epoch is begun; None: no limit.
        checkpoints: which states are kept with each run.
        fresh: set a study of this name aside and begin anew.

    Raises:
        ConfigError: a field is out of its range; the message names what was got and what may be.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    trials: int = 50
    study: str = ""
    objective: str = VAL_LOSS
    sampler: str = "tpe"
    pruner: str = "percentile"
    executor: str = "local"
    workers: int = 0
    timeout: float | None = None
    checkpoints: CheckpointRule = CheckpointRule()  # noqa: RUF009 - frozen
    fresh: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("objective", OBJECTIVES),
            ("sampler", SAMPLERS),
            ("pruner", PRUNERS),
            ("executor", EXECUTORS),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(unknown(name, getattr(self, name), allowed))
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1, but got {self.trials}.")
        if self.workers < 0:
            raise ConfigError(f"workers must be at least 1, or auto, but got {self.workers}.")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"timeout must be above 0 seconds, but got {self.timeout:g}.")
        if not self.study:
            object.__setattr__(self, "study", _name(self))
        if not re.fullmatch(r"[\w.\-]{1,100}", self.study):
            raise ConfigError(
                "study must be 1 to 100 letters, digits and any of . _ - (it names a file), "
                f"but got {self.study!r}."
            )

    @property
    def maximize(self) -> bool:
        """Whether more of the objective is better."""
        return OBJECTIVES[self.objective]

    def settings(self) -> dict[str, Any]:
        """What makes two sweeps the same study: all that decides its trials, as JSON values."""
        train: dict[str, Any] = json.loads(self.train.to_json())
        for name in space.SEARCHED:
            del train[name]
        return train | {
            "objective": self.objective,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "space": space.describe(self.train),
        }


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
    stem = re.sub(r"[^\w.\-]", "_", train.dataset.removesuffix(".npz").rsplit("/", 1)[-1])
    words = [stem, train.split]
    if train.limit is not None:
        words.append(f"n{train.limit}")
    words += [f"e{train.epochs}", f"b{train.batch_size}", config.pruner]
    settings = json.dumps(config.settings(), sort_keys=True)
    return "-".join((*words, hashlib.sha256(settings.encode()).hexdigest()[:6]))
