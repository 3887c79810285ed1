"""Registers the best weights of a trial as an MLflow model with the alias `champion`."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.errors import SweepError
from sweeps.report.showing import short
from trainer.killpoints import passing
from trainer.tracking.names import BEST_WEIGHTS, CONFIG_FILE

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

    from sweeps.report.reading.frames import StudyFrames
    from sweeps.settings.execution import Places
    from trainer.runs.served import Served

ALIAS = "champion"

_SOURCE_TAG = "sweep.run_id"


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A version in MLflow's model registry.

    Attributes:
        name: name of the registered model, equal to that of the study.
        version: version with the alias.
        trial: number of the trial.
        is_new: whether this promotion created the version.
        test_accuracy: accuracy on the test images; None if the study validates on them, or has no
            classes.
    """

    name: str
    version: str
    trial: int
    is_new: bool
    test_accuracy: float | None

    @property
    def uri(self) -> str:
        """URI of the version with the alias."""
        return f"models:/{self.name}@{ALIAS}"

    @property
    def lines(self) -> list[str]:
        """Messages: the version, and how to use it."""
        done = "is now" if self.is_new else "is"
        accuracy = short(self.test_accuracy)
        measured = f", test_accuracy {accuracy}" if accuracy else ""
        return [
            f"{self.uri} {done} version {self.version}: trial {self.trial}{measured}",
            f"  mlflow.pyfunc.load_model({self.uri!r}).predict(images)",
            f"  mlflow models serve -m {self.uri} --env-manager local -p 5001",
        ]


def promote(study: str | None, places: Places, trial: int | None = None) -> Promotion:
    """Register the best weights of a trial unless they are, and set the alias `champion`.

    The model is exported by torch.export, so that loading it does not need its code. It takes
    images N x C x H x W (float32, 0 to 1) and returns scores N x classes. In a study with split
    "train" the test images are measured, once per trial.

    Args:
        study: name of the study; None: the newest.
        places: tracking URI and data folder.
        trial: number of the trial; None: the winner.

    Raises:
        UnknownStudy: there is no such study.
        SweepError: the trial does not exist, has no weights, or cannot be exported.
        TrainerError: the data set cannot be loaded, or MLflow cannot be read.
    """
    from sweeps.report.reading.frames import load_study
    from trainer.metrics import TEST_ACCURACY
    from trainer.settings.paths import Paths
    from trainer.tracking.connection import connect

    uri = places.tracking_uri or Paths.here().tracking_uri
    frames = load_study(study, uri)
    row = _row(frames, trial)
    client = connect(uri)
    version = _version(client, frames.name, row["run_id"])
    is_new = version is None
    if version is None:
        served = _served(client, row["run_id"], places.data or Paths.here().data)
        _check(served, frames, row)
        _measure(client, served, row)
        version = _log(client, served, frames, row)
    client.set_registered_model_alias(frames.name, ALIAS, version)
    passing("alias-set")
    measured = client.get_run(row["run_id"]).data.metrics.get(TEST_ACCURACY)
    return Promotion(
        name=frames.name,
        version=version,
        trial=int(row["trial"]),
        is_new=is_new,
        test_accuracy=measured,
    )


def _row(frames: StudyFrames, trial: int | None) -> pd.Series[Any]:
    """Row of the ranked trial; other trials have no best weights."""
    from sweeps.report.compare.ranking import OPEN, rank
    from sweeps.report.summary import summarize

    ranked = rank(frames)
    if trial is None:
        winner = summarize(frames).winner
        if winner is None:
            raise SweepError(f"Study {frames.name!r} must have a winner, but has none yet.")
        trial = winner.trial
    chosen = ranked[ranked["trial"] == trial]
    if chosen.empty:
        raise SweepError(
            f"trial must be a ranked one of study {frames.name!r}, the best of which "
            f"are {', '.join(map(str, ranked['trial'].head(5)))}, but got {trial}."
        )
    row = chosen.iloc[0]
    if row["state"] in OPEN:
        raise SweepError(
            f"Trial {trial} must have ended to be promoted, but is {row['state']}; "
            f"the command that started study {frames.name!r} resumes it."
        )
    return row


def _version(client: MlflowClient, name: str, run_id: str) -> str | None:
    """The version with the weights of this run, if any."""
    for version in client.search_model_versions(f"name='{name}'"):
        if version.tags.get(_SOURCE_TAG) == run_id and version.status == "READY":
            return str(version.version)
    return None


def _served(client: MlflowClient, run_id: str, folder: Path) -> Served:
    from trainer.runs.served import Served
    from trainer.settings.config import TrainConfig
    from trainer.tracking.connection import read_file, read_weights

    config = TrainConfig.from_json(read_file(client, run_id, CONFIG_FILE))
    return Served(config, read_weights(client, run_id, BEST_WEIGHTS), folder)


def _check(served: Served, frames: StudyFrames, row: pd.Series[Any]) -> None:
    """Check that the weights reproduce the recorded val_loss, where the training has one."""
    measured = served.validation()
    if measured is None:
        return
    curves = frames.curves[frames.curves["trial"] == row["trial"]].set_index("epoch")
    recorded = float(curves.loc[row["best_epoch"], "val_loss"])
    loss, _ = measured
    if abs(loss - recorded) > 1e-3 * max(1.0, abs(recorded)):
        raise SweepError(
            f"The weights of trial {row['trial']} must reproduce its val_loss {short(recorded)}, "
            f"but got {short(loss)}: code or data have changed since it was trained, or its "
            "optimizer keeps other weights for evaluation."
        )


def _measure(client: MlflowClient, served: Served, row: pd.Series[Any]) -> None:
    """Log loss and accuracy on the test images, unless the run has them."""
    from mlflow.entities import Metric

    from trainer.metrics import TEST_ACCURACY, TEST_LOSS

    names = (TEST_LOSS, TEST_ACCURACY)
    if client.get_run(row["run_id"]).data.metrics.keys() >= set(names):
        return
    if (measured := served.test()) is not None:
        now = round(time.time() * 1000)
        metrics = [Metric(*item, now, 0) for item in zip(names, measured, strict=True)]
        client.log_batch(row["run_id"], metrics)
        passing("test-measured")


def _log(client: MlflowClient, served: Served, frames: StudyFrames, row: pd.Series[Any]) -> str:
    """Log the model with the trial's run, register it, and return its version.

    Only the client is used, since `mlflow.pytorch.log_model` would use MLflow's global URI and
    experiment.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    from sweeps.report.reading.command import train_command

    run = client.get_run(row["run_id"])
    tags = _tags(frames, row)
    model = _logged(client, run) or _export(client, served, run, row, tags)
    epoch = int(row["best_epoch"])
    if model.model_id not in _outputs(run):  # MLflow refuses an output that the run has already
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=epoch)])
        passing("outputs-logged")
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(frames.name)
    passing("name-registered")
    with _as_global(client.tracking_uri):
        version = client.create_model_version(
            frames.name,
            f"models:/{model.model_id}",
            run_id=run.info.run_id,
            tags=tags,
            description=(
                f"Trial {row['trial']} of study {frames.name}, epoch {epoch}: "
                f"{frames.objective} {short(row[f'best_{frames.objective}'])}. Trained by: "
                f"{train_command(row)}"
            ),
            model_id=model.model_id,
        )
    passing("version-registered")
    return str(version.version)


@contextlib.contextmanager
def _as_global(uri: str) -> Iterator[None]:
    """Make this MLflow's global tracking URI: its registry looks up a version's model there."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _outputs(run: Run) -> list[str]:
    """Ids of the models that are logged as outputs of the run."""
    return [it.model_id for it in run.outputs.model_outputs] if run.outputs else []


def _logged(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The complete model that a killed promotion left with the run; incomplete ones are deleted."""
    complete = None
    for model in client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    ):
        if model.status == "READY":
            complete = model
        else:
            client.delete_logged_model(model.model_id)
    return complete


def _export(
    client: MlflowClient, served: Served, run: Run, row: pd.Series[Any], tags: dict[str, str]
) -> LoggedModel:
    """Log the network as a model of the run; after an error no incomplete model is left."""
    from sweeps.promote.exported import save

    model = client.create_logged_model(
        run.info.experiment_id,
        name="model",
        source_run_id=run.info.run_id,
        tags=tags,
        params=run.data.params,
    )
    passing("model-created")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            try:
                save(served.network(), served.examples(), path, model)
            except Exception as error:  # torch.export and MLflow raise many types
                reason = str(error).strip().partition("\n")[0]
                raise SweepError(
                    f"The network of trial {row['trial']} must be exportable by torch.export, "
                    f"but: {type(error).__name__}: {reason}. Its weights are in MLflow: "
                    f"{BEST_WEIGHTS} of run {row['run_id']}."
                ) from error
            client.log_model_artifacts(model.model_id, str(path))
            passing("model-copied")
        model = client.finalize_logged_model(model.model_id, "READY")
    except BaseException:  # also KeyboardInterrupt
        client.delete_logged_model(model.model_id)
        raise
    passing("model-logged")
    return model


def _tags(frames: StudyFrames, row: pd.Series[Any]) -> dict[str, str]:
    return {
        _SOURCE_TAG: row["run_id"],
        "sweep.study": frames.name,
        "sweep.trial": str(row["trial"]),
        "sweep.epoch": str(row["best_epoch"]),
    }
