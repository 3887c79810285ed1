"""`fit`: one training run from its first epoch to its last."""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainer.metrics import VAL_LOSS, EpochResult, has_diverged
from trainer.settings.config import TrainConfig
from trainer.stages.plan import extended, plan
from trainer.stages.rehearsal import check_resumes, rehearse
from trainer.stages.stage import data_of, renew, train_stage
from trainer.stages.store import StageStore
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


def fit(
    config: TrainConfig,
    store: StageStore,
    tracker: Tracker,
    folder: Path,
    *,
    checkpoints: CheckpointRule = CheckpointRule(),  # noqa: B008 - frozen
    each_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> RunRecord:
    """Train every epoch that is not stored yet, show the run to `tracker`, and give its record.

    Args:
        config: with its device resolved.
        store: where stages are looked up and kept.
        tracker: shown the run as it goes.
        folder: of the prepared data sets.
        checkpoints: which states are kept with the run.
        each_epoch: called with each epoch's result in turn.

    Raises:
        ConfigError: the config cannot be trained.
        TrainerError: the run could not go on; the tracker shows it as failed.
    """
    renew(config)
    check_train(config)
    if config.references:
        check_resumes(config, rehearse(config, folder))
    data = data_of(config, folder)
    stages = plan(config, data)
    record = record_of(
        config,
        data,
        id=uuid.uuid4().hex,
        name=config.label,
        started_at=time.time(),
    )
    state, error, wanted = COMPLETE, "", dict[str, Checkpoint]()
    try:
        tracker.sync(record)
        for epoch in range(1, config.epochs + 1):
            trained = train_stage(config, epoch, store, folder, trained_for=record.id)
            result = trained.result
            record = replace(
                record,
                results=(*record.results, result),
                retrained_epochs=record.retrained_epochs + trained.passed_again,
            )
            stages = extended(stages, config, data, record.results)
            tracker.sync(record)
            each_epoch(result)
            state = DIVERGED if has_diverged(record.results) else COMPLETE
            wanted = checkpoints.wanted(stages, record.results, VAL_LOSS, state)
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
        tracker.sync(record)
    store.release()
    return record
