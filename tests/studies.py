"""Studies that several tests use: as the records of their runs, and as frames."""

import math
import shutil
from dataclasses import replace

import pandas as pd
from samples import changed, result

from sweeps.report.reading.columns import CURVE_COLUMNS, REPEAT_COLUMNS, TRIAL_COLUMNS
from sweeps.report.reading.frames import StudyFrames
from trainer.metrics import EPOCH_METRICS
from trainer.stages.store import StageStore
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.names import (
    OBJECTIVE_TAG,
    STUDIES_EXPERIMENT,
    STUDY_TAG,
    TRIAL_TAG,
    TRIALS_TAG,
)
from trainer.tracking.record import RunRecord, params_of

START = 1_760_000_000.0

WIDE = """
optimizer = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]
lr = { low = 0.0001, high = 1.0, grid = "1-2-5" }
step_size = { low = 1, high = "epochs" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
"""  # of which all optimizers share the rates


def tracker_in(folder, empty_database):
    """MLflow's store in a folder, by its URI, and a tracker that logs studies to it."""
    shutil.copy(empty_database, folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    store = StageStore(folder / "stages")
    return uri, MlflowTracker(uri, STUDIES_EXPERIMENT, str(folder / "artifacts"), store)


def parent(name, id, started_at, asked=7):
    """The run of a study."""
    tags = {STUDY_TAG: name, OBJECTIVE_TAG: "val_loss", TRIALS_TAG: str(asked)}
    return RunRecord(id=id, group=id, name=name, started_at=started_at, tags=tags)


def child(study, number, config):
    """The run of a trial that has just begun."""
    return RunRecord(
        id=f"{study.id}-{number}",
        group=study.group,
        parent=study.id,
        name=f"trial {number}",
        started_at=START + 10 * number,
        params=params_of(config),
        tags={STUDY_TAG: study.name, TRIAL_TAG: str(number)},
    )


def trained(record, *losses, reused=0, **changes):
    """The record with an epoch for each loss, the first of them trained for another run."""
    results = tuple(
        result(
            epoch,
            running_loss=10 * loss,
            train_loss=loss / 3,
            val_loss=loss,
            val_accuracy=1 / (3 + epoch),
            lr=0.1 / epoch,
            images_per_second=1234.5678,
            trained_for="another" if epoch <= reused else record.id,
            worker=f"host:{100 + epoch}",
            ended_at=record.started_at + epoch + 0.125,
        )
        for epoch, loss in enumerate(losses, start=1)
    )
    return replace(record, results=tuple(changed(it, **changes) for it in results))


def repeats_of(*repeats):
    """Repeats as frames have them, from the trial, the seed and the value of each."""
    rows = [
        {"trial": trial, "seed": seed, "value": value, "epochs": 3, "run_id": f"r{trial}-{seed}"}
        | {"state": "diverged" if math.isnan(value) else "complete"}
        for trial, seed, value in repeats
    ]
    return pd.DataFrame(rows, columns=list(REPEAT_COLUMNS)).astype(REPEAT_COLUMNS)


def frames_of(
    *trials, objective="val_loss", second="", compare="", asked=None, space=None, repeats=()
):
    """The frames of a study from each trial's state, values of the objective, and parameters."""
    rows, epochs = [], []
    longest = max((len(values) for _, values, _ in trials), default=0)
    for number, (state, values, params) in enumerate(trials):
        ranked = state in ("complete", "pruned")
        best = max(values) if objective == "val_accuracy" else min(values, default=math.nan)
        started = pd.Timestamp(START + 10 * number, unit="s", tz="UTC")
        rows.append(
            dict.fromkeys(TRIAL_COLUMNS)
            | {
                "asked_epochs": longest,
                "optimizer": "SGD",
                "lr": 0.01,
                "step_size": 5,
                "gamma": 0.1,
            }
            | params
            | {"trial": number, "state": state, "epochs": len(values), "run_id": f"run{number}"}
            | {"best_epoch": values.index(best) + 1 if ranked else None}
            | ({f"best_{objective}": best} if ranked and objective != "train_loss" else {})
            | {
                "started_at": started,
                "seconds": None if state in ("running", "suspended") else len(values),
            }
        )
        epochs += [
            dict.fromkeys(EPOCH_METRICS, 0.5)
            | {objective: value, "trial": number, "epoch": epoch, "worker": 1}
            | {"reused": epoch == 1 and number > 0}
            | {"ended_at": started + pd.Timedelta(seconds=epoch)}
            for epoch, value in enumerate(values, start=1)
        ]
    columns = (
        None if rows else [*TRIAL_COLUMNS, "asked_epochs", "optimizer", "lr", "step_size", "gamma"]
    )
    return StudyFrames(
        name="digits",
        objective=objective,
        second=second,
        compare=compare,
        asked=len(trials) if asked is None else asked,
        run_id="parent",
        settings={"space": space} if space else {},
        view="mlflow ui",
        repeats=repeats_of(*repeats),
        trials=pd.DataFrame(rows, columns=columns).astype(TRIAL_COLUMNS),
        curves=pd.DataFrame(epochs, columns=list(CURVE_COLUMNS)).astype(CURVE_COLUMNS),
    )
