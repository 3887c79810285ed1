"""`RunRecord`: the complete state of one run; trackers update MLflow to match it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trainer.errors import ConfigError
from trainer.metrics import LR, RUNNING_LOSS, VAL_ACCURACY, VAL_LOSS, EpochResult, best
from trainer.settings.config import TrainConfig
from trainer.tracking.names import (
    BEST_WEIGHTS,
    CONFIG_FILE,
    DIVERGED_EPOCH_TAG,
    DIVERGED_LR_TAG,
    ENVIRONMENT_FILE,
    LAST_STATE,
    REASON_TAG,
)

if TYPE_CHECKING:  # so that reading a report does not import torch
    from trainer.data import Data
    from trainer.stages.plan import Stage

RUNNING = "running"
SUSPENDED = "suspended"
"""A trial that has trained all requested epochs, and may be resumed for more."""

COMPLETE = "complete"
PRUNED = "pruned"
DIVERGED = "diverged"
FAILED = "failed"
INTERRUPTED = "interrupted"
FINAL_STATES = (COMPLETE, PRUNED, DIVERGED, FAILED)

BEST = "best_"
BEST_EPOCH = "best_epoch"
BEST_METRICS = (VAL_LOSS, VAL_ACCURACY, RUNNING_LOSS)
"""Metrics whose best value over all epochs is logged as `best_NAME`, unless the run diverged."""


@dataclass(frozen=True)
class Checkpoint:
    """A stored state to log as a checkpoint of the run, with its epoch.

    `weights_only` leaves out the states of optimizer, scheduler and random generators.
    """

    epoch: int
    key: str
    weights_only: bool


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Current state of one run, or of the parent run of a study.

    Attributes:
        id: identifies the run in every process.
        group: id of the study; for a single run, its own id.
        parent: id of the parent run.
        name: display name.
        state: one of the names above.
        started_at: start in seconds since 1970, UTC.
        ended_at: end in seconds since 1970, UTC; None while the run is active.
        params: parameters as text.
        tags: MLflow tags.
        files: text files of the run, by path.
        metrics: single values, known at the end of the run.
        dataset: name and digest of the data.
        results: results of epochs 1, 2, ... in order.
        retrained_epochs: number of epochs trained again because their states had been evicted.
        checkpoints: checkpoints of an ended run, by path.
    """

    id: str
    group: str
    parent: str | None = None
    name: str
    state: str = RUNNING
    started_at: float
    ended_at: float | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    dataset: tuple[str, str] | None = None
    results: tuple[EpochResult, ...] = ()
    retrained_epochs: int = 0
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    def is_reused(self, result: EpochResult) -> bool:
        """Whether the epoch was first trained for another run."""
        return result.trained_for != self.id

    @property
    def reused_epochs(self) -> int:
        """Number of epochs that were first trained for other runs."""
        return sum(self.is_reused(result) for result in self.results)

    def ended(
        self,
        state: str,
        objective: str,
        checkpoints: Mapping[str, Checkpoint],
        at: float | None = None,
        error: str = "",
        maximize: bool | None = None,
    ) -> RunRecord:
        """The record after the run ended.

        Args:
            state: in which it ended.
            objective: metric by which it is judged; without it there is no best epoch.
            checkpoints: logged with it, by path.
            at: seconds since 1970; None: now.
            error: traceback of a failed run.
            maximize: whether a higher objective is better; None: as `OBJECTIVES` says.
        """
        metrics, tags, files = dict(self.metrics), dict(self.tags), dict(self.files)
        if self.results and state == DIVERGED:
            last = self.results[-1]
            tags[DIVERGED_EPOCH_TAG] = str(last.epoch)
            if LR in last.values:
                tags[DIVERGED_LR_TAG] = f"{last.values[LR]:g}"
        if state == FAILED and error:
            tags[REASON_TAG] = error.strip().rpartition("\n")[2]
            files["traceback.txt"] = error
        if self.results and state in (COMPLETE, PRUNED):
            directions = dict.fromkeys(BEST_METRICS) | {objective: maximize}
            logged = set.intersection(*(set(result.values) for result in self.results))
            for name in [it for it in directions if it in logged]:
                found = best(self.results, name, directions[name])
                metrics[BEST + name] = found.values[name]
                if name == objective:
                    metrics[BEST_EPOCH] = found.epoch
        return replace(
            self,
            state=state,
            ended_at=time.time() if at is None else at,
            tags=tags,
            files=files,
            metrics=metrics,
            checkpoints=checkpoints if state in FINAL_STATES else {},
        )


def record_of(
    config: TrainConfig,
    data: Data,
    environment: Mapping[str, Any],
    *,
    id: str,
    name: str,
    started_at: float,
    group: str | None = None,
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunRecord:
    """Create the record of a training run without epochs.

    Args:
        config: of the run.
        data: that it trains on; `NO_DATA` is not logged.
        environment: all that determines its numbers besides the learning rates.
        id: that no other run has.
        name: for people.
        started_at: seconds since 1970.
        group: id of the group that the run belongs to; None: a group of its own.
        parent: id of its parent run.
        tags: further ones.
    """
    return RunRecord(
        id=id,
        group=group or id,
        parent=parent,
        name=name,
        started_at=started_at,
        params=params_of(config),
        tags=tags or {},
        files={
            CONFIG_FILE: config.to_json(),
            ENVIRONMENT_FILE: json.dumps(environment, indent=2, sort_keys=True),
        },
        dataset=(data.name, data.digest) if data.name else None,
    )


def params_of(config: TrainConfig) -> dict[str, str]:
    """All values of the config that the run uses, as text."""
    return {name: str(value) for name, value in config.values().items()}


CHECKPOINTS_HELP = "Checkpoints to log: best, last and every:N, separated by commas, or none."


@dataclass(frozen=True)
class CheckpointRule:
    """Which checkpoints are logged with a run.

    Attributes:
        best: log the weights of the best epoch as `checkpoints/best.pt`.
        last: log the state after the last epoch as `checkpoints/last.pt`.
        every: log the state of every N-th epoch as `checkpoints/epoch-NNNN.pt`; 0: none.
    """

    best: bool = True
    last: bool = True
    every: int = 0

    def __str__(self) -> str:
        words = ["best"] * self.best + ["last"] * self.last
        words += [f"every:{self.every}"] if self.every else []
        return ",".join(words) or "none"

    @classmethod
    def parse(cls, text: str) -> CheckpointRule:
        """Parse "best", "last" and "every:N", separated by commas, or "none".

        Raises:
            ConfigError: an unknown word.
        """
        rule = cls(best=False, last=False)
        for word in text.split(","):
            kind, _, number = word.strip().partition(":")
            if kind in ("best", "last") and not number:
                rule = replace(rule, **{kind: True})
            elif kind == "every" and number.isdigit() and int(number) > 0:
                rule = replace(rule, every=int(number))
            elif text != "none":
                raise ConfigError(
                    f"checkpoints must be 'none', or some of 'best', 'last' and 'every:N' "
                    f"separated by commas, but got {text!r}."
                )
        return rule

    def select(
        self,
        stages: Sequence[Stage],
        results: Sequence[EpochResult],
        objective: str,
        state: str,
        *,
        maximize: bool | None = None,
        has_weights: bool = True,
    ) -> dict[str, Checkpoint]:
        """Checkpoints of a run, by path; a diverged run has no best one.

        Args:
            stages: of the run.
            results: of its epochs.
            objective: metric by which it is judged; without it there is no best checkpoint.
            state: of the run.
            maximize: whether a higher objective is better; None: as `OBJECTIVES` says.
            has_weights: whether weights are a known part of its states; else the checkpoint of the
                best epoch is a whole state.
        """
        selected: dict[str, Checkpoint] = {}
        if not results:
            return selected
        if self.every:
            for epoch in range(self.every, len(results) + 1, self.every):
                path = f"checkpoints/epoch-{epoch:04}.pt"
                selected[path] = Checkpoint(epoch, stages[epoch].key, weights_only=False)
        if self.best and state != DIVERGED and all(objective in it.values for it in results):
            epoch = best(results, objective, maximize).epoch
            selected[BEST_WEIGHTS] = Checkpoint(epoch, stages[epoch].key, weights_only=has_weights)
        if self.last:
            epoch = len(results)
            selected[LAST_STATE] = Checkpoint(epoch, stages[epoch].key, weights_only=False)
        return selected
