"""`fit`: one whole training run."""

from __future__ import annotations

import hashlib
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainer.errors import TrackingError
from trainer.metrics import VAL_LOSS, EpochResult, has_diverged
from trainer.settings.config import TrainConfig
from trainer.stages.plan import environment, extended, plan
from trainer.stages.rehearsal import check_resumes, rehearse
from trainer.stages.stage import data_of, renew, train_stage
from trainer.stages.store import StageStore
from trainer.tracking.connection import first_line
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    Checkpoint,
    CheckpointRule,
    RunRecord,
    record_of,
)
from trainer.tracking.tracker import Tracker
from trainer.training.check import check_train
from trainer.training.recipe import recipe_of

_LAST_TRIES = 3  # one finds that the run was deleted, one reads what is left, one makes it anew


def fit(
    config: TrainConfig,
    store: StageStore,
    tracker: Tracker,
    folder: Path,
    *,
    checkpoints: CheckpointRule = CheckpointRule(),  # noqa: B008 - frozen
    each_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> RunRecord:
    """Train every epoch that is not stored yet, log the run, and return its record.

    A run of the same config that was killed or interrupted is continued. A tracker that does not
    take the run stops no training: it is sent the whole again with each epoch.

    Args:
        config: with its device resolved.
        store: of results and states.
        tracker: the run is logged to.
        folder: of the prepared data sets.
        checkpoints: which states are logged with the run.
        each_epoch: called with the result of each epoch.

    Raises:
        ConfigError: the config cannot be trained.
        TrainerError: the run failed, and is logged as failed.
        TrackingError: all was trained, but the tracker did not take all of it.
    """
    renew(config)
    check_train(config)
    if config.references or config.metrics:
        check_resumes(config, rehearse(config, folder))
    recipe = recipe_of(config, data_of(config, folder))
    stages = plan(recipe)
    record = record_of(
        config,
        recipe.data,
        environment(recipe),
        id=uuid.uuid4().hex,
        name=config.label,
        started_at=time.time(),
    )
    group = hashlib.sha256("".join(record.files.values()).encode()).hexdigest()
    record = replace(record, group=group, id=tracker.unfinished(group) or record.id)
    state, error, wanted = COMPLETE, "", dict[str, Checkpoint]()
    refused = _sync(tracker, record)
    try:
        for epoch in range(1, config.epochs + 1):
            trained = train_stage(config, epoch, store, folder, trained_for=record.id)
            result = trained.result
            record = replace(
                record,
                results=(*record.results, result),
                retrained_epochs=record.retrained_epochs + trained.retrained,
            )
            stages = extended(stages, recipe, record.results)
            refused = _sync(tracker, record)
            each_epoch(result)
            state = DIVERGED if has_diverged(record.results) else COMPLETE
            wanted = checkpoints.select(
                stages, record.results, VAL_LOSS, state, has_weights=not config.trainable
            )
            store.evict(
                keep={stages[epoch].key, *(checkpoint.key for checkpoint in wanted.values())}
            )
            if state == DIVERGED:
                break
        for checkpoint in wanted.values():
            train_stage(config, checkpoint.epoch, store, folder, with_state=True)
    except BaseException as problem:
        state = FAILED if isinstance(problem, Exception) else INTERRUPTED
        error, wanted = traceback.format_exc(), {}
        raise
    finally:
        record = record.ended(state, VAL_LOSS, wanted, error=error)
        refused = _sync(tracker, record, tries=_LAST_TRIES)
    store.release()
    if refused is not None:
        reason = first_line(refused).rstrip(".")
        raise TrackingError(
            f"MLflow did not take the run: {reason}. Nothing is lost; the same command delivers it."
        ) from refused
    return record


def _sync(tracker: Tracker, record: RunRecord, tries: int = 1) -> Exception | None:
    """Show the run as it stands; what the tracker raised where it did not take it."""
    try:
        tracker.sync(record)
    except Exception as error:  # MLflow's, a database's, a network's: all may pass
        return error if tries == 1 else _sync(tracker, record, tries - 1)
    return None
