"""A study as DataFrames, read from MLflow: one row per trial, and one per trial and epoch."""

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
from sweeps.search.objectives import SECOND_OBJECTIVES
from trainer.errors import TrackingError, unknown
from trainer.settings.paths import Paths
from trainer.tracking.connection import (
    connect,
    database_of,
    fullness,
    read_file,
    search_runs,
    without_password,
)
from trainer.tracking.names import (
    COMPARE_TAG,
    CONFIRMS_TAG,
    DIRECTIONS_TAG,
    GROUP_TAG,
    OBJECTIVE_TAG,
    RUN_TAG,
    SECOND_TAG,
    STUDIES_EXPERIMENT,
    STUDY_FILE,
    STUDY_TAG,
    TARGET_TAG,
    TRIAL_TAG,
    TRIALS_TAG,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFrames:
    """One study as read from MLflow.

    Attributes:
        name: name of the study.
        objective: metric by which trials are judged.
        second: second objective, another metric or the training time; "": none.
        directions: "minimize" or "maximize" for each of these, separated by a comma; "": as
            `SECOND_OBJECTIVES` says.
        compare: parameter whose values the study compares, a column of the trials; "": none.
        asked: target number of trials.
        target: value of the objective with which the study was to end; None: none.
        run_id: id of the study's MLflow run, the parent of its trials' runs.
        settings: content of the run's artifact `study.json`: fields of `TrainConfig` that all
            trials share, objective, sampler, pruner and space; {} if it is missing.
        view: command or address that shows the study in a browser.
        tracking_uri: the given tracking URI without its password; "": the default.
        trials: see `load_trials`.
        curves: see `load_curves`.
        repeats: one row per repeat, a trial trained again from another seed, sorted by trial and
            seed: trial and seed (int64), state (str), value (best value of the objective; float64,
            missing if the repeat has not ended or diverged), epochs (int64), seconds and started_at
            (see `load_trials`), run_id (str).
    """

    name: str
    objective: str
    second: str = ""
    directions: str = ""
    compare: str = ""
    asked: int
    target: float | None = None
    run_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    view: str
    tracking_uri: str = ""
    trials: pd.DataFrame
    curves: pd.DataFrame
    repeats: pd.DataFrame

    @property
    def maximize(self) -> bool:
        """Whether a higher objective is better."""
        return self.is_maximized(self.objective)

    def is_maximized(self, metric: str) -> bool:
        """Whether a higher value of an objective, or of a built-in metric, is better."""
        names = [self.objective, *([self.second] if self.second else [])]
        if self.directions and metric in names:
            return self.directions.split(",")[names.index(metric)] == "maximize"
        return SECOND_OBJECTIVES.get(metric, False)

    @property
    def direction(self) -> str:
        """Direction of the objective, as `SweepConfig` takes it."""
        return "maximize" if self.maximize else "minimize"

    @property
    def kind(self) -> str:
        """Column of the trials by which they are told apart: the optimizer, or the trainable."""
        has_optimizers = self.trials.empty or self.trials["optimizer"].notna().any()
        return "optimizer" if has_optimizers else "trainable"

    @property
    def space(self) -> Mapping[str, Any]:
        """The search space in `settings`; {} if it is missing."""
        space = self.settings.get("space")
        return space if isinstance(space, Mapping) else {}


def load_trials(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row per trial, sorted by trial.

    Columns, in this order:
        trial: number of the trial, from 0; int64.
        state: running, suspended, complete, pruned, diverged, failed or interrupted; str.
        optimizer: name of the class; str.
        lr: initial learning rate; float64.
        step_size: epochs between two decays of the learning rate; int64.
        gamma: factor of each decay; float64.
        asked_epochs: epochs of the complete trial; int64.
        dataset, split, limit, image_size, normalize, augment, model, loss, scheduler,
            scheduler_interval, warmup, warmup_start, clip_grad_norm, accumulate,
            ema_decay, batch_size, shuffle, seed, device, threads, deterministic, metrics, unshared:
            see `TrainConfig`.
        momentum and others: one column per argument of an optimizer; arguments of a scheduler, a
            model, a loss and a metric are named scheduler.NAME, model.NAME, loss.NAME and
            metric.METRIC.NAME.
        trainable: reference to the user's training loop, of a study with one; str. The names of its
            config are columns, too; the fields of the built-in training are missing then.
        best_val_loss, best_val_accuracy, best_running_loss: best value of all epochs; float64;
            missing, like best_epoch, until the trial ends, and if it diverged or failed.
        best_epoch: the epoch with the best value of the objective, from 1; Int64.
        val_loss, val_accuracy, running_loss, train_loss: values of the last logged epoch; float64.
        test_loss, test_accuracy: of the best weights on the test images; float64. Measured when the
            trial is promoted in a study with split "train", else missing.
        epochs: number of logged epochs; Int64.
        trained_epochs, reused_epochs: number of these that were first trained for this trial, and
            for another run; Int64.
        retrained_epochs: number of epochs trained again because their states had been evicted;
            Int64.
        seconds: time from start to end, with pauses; float64, NaN until the trial ends.
        started_at: time of the start; datetime64[us, UTC].
        run_id: id of the MLflow run; str.

    A parameter is bool, int64, float64 or str, whichever fits the values of all trials. With
    missing values bool and int64 become boolean and Int64.

    Args:
        study: name of the study; None: the newest.
        tracking_uri: MLflow's tracking URI; None: MLFLOW_TRACKING_URI, else ./mlflow.db.

    Raises:
        UnknownStudy: there is no such study, or none at all.
        SweepError: MLflow's store cannot be read.
    """
    return load_study(study, tracking_uri).trials


def load_curves(study: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """One row per trial and epoch, sorted by both; for arguments and errors see `load_trials`.

    Columns, in this order:
        trial: number of the trial, from 0; int64.
        epoch: number of the epoch, from 1; int64.
        running_loss, train_loss, val_loss, val_accuracy, lr, epoch_seconds, images_per_second: see
            `trainer.metrics.EpochResult`; float64, may be NaN or infinite.
        reused: whether the epoch was first trained for another run; bool.
        worker: process id of the worker that trained it; Int64.
        ended_at: time of its end; datetime64[us, UTC].
        f1 and others: one column per metric of the user's, sorted by name; float64. Of a training
            loop of the user's, metrics of the built-in training are missing.
    """
    return load_study(study, tracking_uri).curves


def load_study(study: str | None = None, tracking_uri: str | None = None) -> StudyFrames:
    """Load a study; for arguments and errors see `load_trials`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = tracking_uri or Paths.here().tracking_uri
    database = database_of(uri)
    if database is not None and not database.exists():  # MLflow would create it
        raise UnknownStudy(
            f"A study must be in MLflow's store, but there is no {database}; to start a study: "
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
    """Read a study.

    Args:
        client: MLflow's client.
        study: name of the study; None: the newest.
        view: command or address that shows it in a browser.
        database: the SQLite file that the client reads, if it does.

    Raises:
        UnknownStudy: there is no such study, or none at all.
    """
    parents = _parents(client)
    if not parents:
        raise UnknownStudy("There is no study yet; to start one: python -m sweeps.run")
    names = [run.data.tags[STUDY_TAG] for run in parents]
    if study is not None and study not in names:
        raise UnknownStudy(unknown("study", study, set(names)))
    parent = parents[0 if study is None else names.index(study)]
    tags = parent.data.tags
    objective = tags[OBJECTIVE_TAG]
    found, curves = _epochs(client, parent.info.experiment_id, tags[GROUP_TAG], database)
    runs = sorted((run for run in found if TRIAL_TAG in run.tags), key=trial_of)
    return StudyFrames(
        name=tags[STUDY_TAG],
        objective=objective,
        second=tags.get(SECOND_TAG, ""),
        directions=tags.get(DIRECTIONS_TAG, ""),
        compare=tags.get(COMPARE_TAG, ""),
        asked=int(tags[TRIALS_TAG]),
        target=float(tags[TARGET_TAG]) if TARGET_TAG in tags else None,
        run_id=parent.info.run_id,
        settings=_settings(client, parent.info.run_id),
        view=view,
        trials=read_trials(runs, curves),
        curves=curves,
        repeats=read_repeats([it for it in found if CONFIRMS_TAG in it.tags], objective),
    )


def _epochs(
    client: MlflowClient, experiment_id: str, group: str, database: Path | None
) -> tuple[list[Run], pd.DataFrame]:
    """All runs of a study, and the curves of its trials; directly from the file if possible."""
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
    """One run per record: a lost response of a server may leave a duplicate until the next start
    of the sweep.
    """
    ordered = sorted(runs, key=lambda run: fullness(run.status, run.metrics))
    return list({run.tags.get(RUN_TAG, run.id): run for run in ordered}.values())


def _parents(client: MlflowClient) -> list[Any]:
    """The runs of studies, newest first, which is MLflow's order."""
    experiment = client.get_experiment_by_name(STUDIES_EXPERIMENT)
    if experiment is None:
        return []
    return list(search_runs(client, experiment.experiment_id, f"tags.`{TRIALS_TAG}` LIKE '%'"))


def _settings(client: MlflowClient, run_id: str) -> dict[str, Any]:
    try:
        settings = json.loads(read_file(client, run_id, STUDY_FILE))
    except TrackingError:  # optional for a report
        return {}
    return settings if isinstance(settings, dict) else {}


def _view(uri: str, database: Path | None) -> str:
    if database is not None and database.resolve() == Paths.here().root.resolve() / "mlflow.db":
        return "mlflow ui"
    shown = without_password(uri)
    if shown.startswith("http"):
        return shown
    return f"mlflow ui --backend-store-uri {shlex.quote(shown)}"
