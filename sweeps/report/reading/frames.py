"""A study as DataFrames read from MLflow: one row per trial, and one per trial and epoch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sweeps.errors import SweepError, UnknownStudy
from sweeps.report.reading.database import UnknownTables, open_database
from sweeps.report.reading.reading import read_curves, read_repeats, read_trials, trial_of
from sweeps.report.reading.runs import Run, client_points, client_runs
from trainer.errors import TrackingError, unknown
from trainer.settings.paths import Paths
from trainer.tracking.connection import connect, fullness, read_file, search_runs, without_password
from trainer.tracking.names import (
    COMPARE_TAG,
    CONFIRMS_TAG,
    GROUP_TAG,
    OBJECTIVE_TAG,
    RUN_TAG,
    SECOND_TAG,
    STUDIES_EXPERIMENT,
    STUDY_FILE,
    STUDY_TAG,
    TRIAL_TAG,
    TRIALS_TAG,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFrames:
    """A study as MLflow has it.

    Attributes:
        name: of the study.
        objective: the metric trials are judged by, a name in `trainer.metrics.OBJECTIVES`.
        second: the second objective, a name in `SECOND_OBJECTIVES`; "": none.
        compare: the parameter given by --compare, a column of the trials; "": none.
        asked: target number of trials.
        run_id: MLflow's id of the study's run, the parent of its trials' runs.
        settings: content of the study's `study.json`: fields of `TrainConfig` shared by all trials,
            objective, sampler and pruner; {} if there is none.
        space: the search space in these settings; {} if there is none.
        view: the command or address that shows the study in a browser.
        tracking_uri: MLflow's tracking URI, if it was given; "": the default one.
        trials: see `load_trials`.
        curves: see `load_curves`.
        repeats: trials repeated with other seeds, one row each, sorted by trial and seed: trial
            and seed (int64), state (str), value (best objective over its epochs; float64, missing
            if it has not ended or diverged), epochs (int64), seconds and started_at (as those of
            trials), run_id (str).
    """

    name: str
    objective: str
    second: str = ""
    compare: str = ""
    asked: int
    run_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any]
    view: str
    tracking_uri: str = ""
    trials: pd.DataFrame
    curves: pd.DataFrame
    repeats: pd.DataFrame


def load_trials(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row per trial, sorted by number.

    Columns, in this order:
        trial: its number, from 0; int64.
        state: running, suspended, complete, pruned, diverged, failed or interrupted; str.
        optimizer: class of torch.optim; str.
        lr: initial learning rate; float64.
        step_size: epochs between two decays of the rate; int64.
        gamma: factor of each decay; float64.
        asked_epochs: number of epochs of the complete trial; int64.
        dataset and so on: one column for each other field of `TrainConfig`, under its name.
        momentum and the like: one column for each optimizer argument that any trial has; arguments
            of a scheduler and a model are scheduler.NAME and model.NAME.
        best_val_loss, best_val_accuracy, best_running_loss: lowest, highest, lowest over all
            epochs; float64; missing, as the next one, until the trial ends and if it diverged or
            failed.
        best_epoch: the epoch with the best value of the objective, from 1; Int64.
        val_loss, val_accuracy, running_loss, train_loss: of the last logged epoch; float64.
        test_loss, test_accuracy: of the best weights on the test images, measured once, when the
            trial was promoted in a study of split "train"; float64, else missing.
        epochs: number of logged epochs; Int64.
        trained_epochs, reused_epochs: of these, first trained for this trial, and for another run;
            Int64.
        retrained_epochs: epochs trained again because their states had been evicted; Int64.
        seconds: from its start to its end, pauses included; NaN until it ends; float64.
        started_at: datetime64[us, UTC].
        run_id: MLflow's; str.

    A parameter column is bool if every trial's text is a bool, else int64, float64 or str; if some
    trials lack the parameter, bool and int64 become boolean and Int64.

    Args:
        study: its name; None: the newest.
        tracking_uri: MLflow's; None: MLFLOW_TRACKING_URI, else ./mlflow.db.

    Raises:
        UnknownStudy: there is no such study, or none at all.
        SweepError: MLflow's database or server cannot be read.
    """
    return load_study(study, tracking_uri).trials


def load_curves(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row per trial and epoch, sorted by both; arguments and errors as `load_trials`.

    Columns, in this order:
        trial: its number, from 0; int64.
        epoch: from 1; int64.
        running_loss, train_loss, val_loss, val_accuracy, lr, epoch_seconds, images_per_second: see
            `trainer.metrics.EpochResult`; float64, with NaN and infinities as they occurred.
        reused: whether the epoch was first trained for another run; bool.
        worker: process id of the worker that trained it; Int64.
        ended_at: when it was trained; datetime64[us, UTC].
    """
    return load_study(study, tracking_uri).curves


def load_study(study: str | None = None, tracking_uri: str | None = None) -> StudyFrames:
    """All frames of a study; arguments and errors as `load_trials`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = tracking_uri or Paths.here().tracking_uri
    database = Path(uri.partition("///")[2].partition("?")[0]) if uri.startswith("sqlite") else None
    if database is not None and not database.exists():  # MLflow would create the file
        raise UnknownStudy(
            f"A study must be in MLflow's store, but there is no {database}; to begin a study: "
            "python -m sweeps.run"
        )
    try:
        found = read_study(connect(uri), study, _view(uri, database), database)
        return replace(found, tracking_uri=without_password(tracking_uri or ""))
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        shown = without_password(uri)
        raise SweepError(f"MLflow's store {shown} cannot be read: {reason}") from error


def read_study(
    client: MlflowClient,
    study: str | None = None,
    view: str = "mlflow ui",
    database: Path | None = None,
) -> StudyFrames:
    """Read the study named `study` (None: the newest).

    Args:
        client: MLflow's.
        study: its name.
        view: the command or address that shows it in a browser.
        database: MLflow's SQLite file, if that is what the client reads.

    Raises:
        UnknownStudy: there is no such study, or none at all.
    """
    parents = _parents(client)
    if not parents:
        raise UnknownStudy("There is no study yet; to begin one: python -m sweeps.run")
    names = [run.data.tags[STUDY_TAG] for run in parents]
    if study is not None and study not in names:
        raise UnknownStudy(unknown("study", study, set(names)))
    parent = parents[0 if study is None else names.index(study)]
    tags = parent.data.tags
    objective = tags[OBJECTIVE_TAG]
    settings = _settings(client, parent.info.run_id)
    space = settings.get("space")
    found, curves = _epochs(client, parent.info.experiment_id, tags[GROUP_TAG], database)
    runs = sorted((run for run in found if TRIAL_TAG in run.tags), key=trial_of)
    return StudyFrames(
        name=tags[STUDY_TAG],
        objective=objective,
        second=tags.get(SECOND_TAG, ""),
        compare=tags.get(COMPARE_TAG, ""),
        asked=int(tags[TRIALS_TAG]),
        run_id=parent.info.run_id,
        settings=settings,
        space=space if isinstance(space, dict) else {},
        view=view,
        trials=read_trials(runs, curves),
        curves=curves,
        repeats=read_repeats([it for it in found if CONFIRMS_TAG in it.tags], objective),
    )


def _epochs(
    client: MlflowClient, experiment_id: str, group: str, database: Path | None
) -> tuple[list[Run], pd.DataFrame]:
    """All runs of a study, and the curves of its trials; read from the SQLite file if possible."""
    if database is not None:
        try:
            with open_database(database) as opened:
                found = _once(opened.runs(experiment_id, GROUP_TAG, group))
                trials = [run for run in found if TRIAL_TAG in run.tags]
                return found, read_curves(trials, opened.points(trials))
        except UnknownTables:
            pass
    found = _once(client_runs(client, experiment_id, f"tags.`{GROUP_TAG}` = '{group}'"))
    trials = [run for run in found if TRIAL_TAG in run.tags]
    return found, read_curves(trials, client_points(client, trials))


def _once(runs: Iterable[Run]) -> list[Run]:
    """One run per record: after a lost answer of a server there may be two, until the next start
    of the sweep.
    """
    ordered = sorted(runs, key=lambda run: fullness(run.status, run.metrics))
    return list({run.tags.get(RUN_TAG, run.id): run for run in ordered}.values())


def _parents(client: MlflowClient) -> list[Any]:
    """The runs of the studies themselves, newest first, which is MLflow's order."""
    experiment = client.get_experiment_by_name(STUDIES_EXPERIMENT)
    if experiment is None:
        return []
    return list(search_runs(client, experiment.experiment_id, f"tags.`{TRIALS_TAG}` LIKE '%'"))


def _settings(client: MlflowClient, run_id: str) -> dict[str, Any]:
    try:
        settings = json.loads(read_file(client, run_id, STUDY_FILE))
    except TrackingError:  # a report works without it
        return {}
    return settings if isinstance(settings, dict) else {}


def _view(uri: str, database: Path | None) -> str:
    if database is not None and database.resolve() == Paths.here().root.resolve() / "mlflow.db":
        return "mlflow ui"
    shown = without_password(uri)
    if shown.startswith("http"):
        return shown
    return f"mlflow ui --backend-store-uri {shlex.quote(shown)}"
