"""The way to MLflow: its client, the experiment to log to, and every run that fits a query."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trainer.errors import TrackingError
from trainer.files import lock_file
from trainer.killpoints import passing

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE_SECONDS = 2.0  # in which a server's door must open
_REQUESTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""MLflow's own retries would take minutes, in silence; the delivery retries, and says so."""

_CHATTY = {  # of each step of a new database, and of a model that is there at once
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,  # a traceback of each error that it raises, too
    "mlflow.store.model_registry.abstract_store": logging.WARNING,
}
_COLUMNS = (
    "params.`optimizer`",
    "params.`lr`",
    "metrics.`best_val_loss`",
    "metrics.`best_val_accuracy`",
)
_VIEW = "sweeps"
_SHOWN_AS = {
    "mlflow.experimentKind": "custom_model_development",  # not as one of language models
    f"mlflow.sharedViewState.{_VIEW}": json.dumps({"selectedColumns": _COLUMNS}),
}
"""Tags of an experiment: what MLflow's pages take it for, and a view with these columns."""


def connect(uri: str) -> MlflowClient:
    """MLflow's client, with telemetry off unless the user turned it on, and no chatter.

    Raises:
        TrackingError: a server is named that does not answer, a file that is a folder, or a
            database whose driver is not installed.
    """
    check_server(uri)
    if (file := database_of(uri)) is not None and file.is_dir():
        raise TrackingError(f"MLflow's store {uri} must be a file, but is a folder.")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, text in _REQUESTS.items():
        os.environ.setdefault(name, text)
    import mlflow

    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)
    try:
        if file is not None:
            _ensure_database(file)
        return mlflow.MlflowClient(tracking_uri=uri)
    except ImportError as error:  # a driver that SQLAlchemy needs
        raise TrackingError(
            f"MLflow's store {without_password(uri)} cannot be used: {error}; install that module."
        ) from error


@contextmanager
def in_one_line(uri: str) -> Iterator[None]:
    """Turn what MLflow, SQLAlchemy and requests raise, by what the URI names, into one line.

    Raises:
        TrackingError: in place of any other error.
    """
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        shown = without_password(uri)
        if "error code 401" in str(error):
            raise TrackingError(
                f"MLflow's server {shown} must accept the user, but does not: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
            ) from error
        raise TrackingError(
            f"MLflow's store {shown} cannot be used: {first_line(error).rstrip('.')}."
        ) from error


def _ensure_database(file: Path) -> None:
    """Make a missing database under another name, and move it into place when it is whole.

    MLflow needs seconds to minutes for the tables and their migrations. What a killed process had
    made of them is not usable, so the next one removes it and begins anew.
    """
    if _is_made(file):
        return
    with suppress(OSError):  # MLflow then says why
        file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK):
        return
    lock, new = (file.with_name(f"{file.name}.{end}") for end in ("lock", "new"))
    with lock_file(lock):
        if not _is_made(file):  # another process may have made it meanwhile
            _remove_database(new)
            _make_database(new)
            passing("database-made")
            new.replace(file)
    lock.unlink(missing_ok=True)  # whoever waits for it finds the database made


def _is_made(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _remove_database(file: Path) -> None:
    """Remove an SQLite file, with the journal that a killed process leaves beside it."""
    for end in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _make_database(file: Path) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{file}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()  # SQLite would look for the journal beside the old name


def database_of(uri: str) -> Path | None:
    """The SQLite file that is the store; None where it is none."""
    if not uri.startswith("sqlite:///") or ":memory:" in uri:
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def first_line(error: Exception) -> str:
    """What an error of MLflow's says first, without SQLAlchemy's remark on when it was raised."""
    lines = str(error).strip().splitlines()
    told = [line for line in lines if not line.startswith("(raised as a result of")]
    return without_password((told or lines or [""])[0])


def without_password(uri: str) -> str:
    """The URI as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", uri)


def search_runs(client: MlflowClient, experiment_id: str, query: str) -> Iterable[Any]:
    """Every run of the experiment that fits the query, however many pages that takes."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def has_run(client: MlflowClient, run_id: str) -> bool:
    """Whether there is a run of that id."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise
    return True


def unbounded(value: float) -> float:
    """A metric's value as it was logged: MLflow keeps an infinity as the largest number."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def read_file(client: MlflowClient, run_id: str, path: str) -> str:
    """The text of a file that is kept with a run.

    Raises:
        TrackingError: the run has no such file, or it cannot be read.
    """
    with _downloaded(client, run_id, path) as file:
        return file.read_text("utf-8")


def read_weights(client: MlflowClient, run_id: str, path: str) -> Any:
    """What `torch.save` wrote into a file that is kept with a run.

    Raises:
        TrackingError: the run has no such file, or it cannot be read, or is damaged.
    """
    from trainer.stages.sealed import read_saved

    with _downloaded(client, run_id, path) as file:
        try:
            return read_saved(file)
        except pickle.UnpicklingError as error:
            raise TrackingError(
                f"Run {run_id} must have the file {path} as it was written, but it is damaged. "
                "Delete that run in MLflow; the command that began its study logs it again."
            ) from error


@contextmanager
def _downloaded(client: MlflowClient, run_id: str, path: str) -> Iterator[Path]:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(client.download_artifacts(run_id, path, folder))
        except (MlflowException, OSError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise TrackingError(
                f"Run {run_id} must have the file {path}, but it cannot be read: {reason}."
            ) from error


def open_experiment(client: MlflowClient, uri: str, name: str, artifacts: str) -> str:
    """The id of an experiment, made where it is missing.

    Args:
        client: connected to `uri`.
        uri: tracking URI.
        name: of the experiment.
        artifacts: where the artifacts of a new one go; a server decides for itself.

    Raises:
        TrackingError: the experiment cannot be logged to from here.
    """
    from mlflow.exceptions import MlflowException

    remote = is_server(uri) or uri.startswith("databricks")
    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if remote else artifacts
        if location:  # before others see the experiment, who ask for the folder
            Path(location).parent.mkdir(parents=True, exist_ok=True)
        try:
            made = str(client.create_experiment(name, location, tags=_SHOWN_AS))
            passing("experiment-created")
            return made
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return open_experiment(client, uri, name, artifacts)  # another process was faster
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment {name!r} must be active, but it was deleted; bring it back with: "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    if not remote and found.artifact_location.startswith("mlflow-artifacts:"):
        raise TrackingError(
            f"MLflow's experiment {name!r} was made through a server, so its artifacts are reached "
            "only through one; set MLFLOW_TRACKING_URI to the server's address, or rename it there."
        )
    folder = Path(found.artifact_location.removeprefix("file://"))
    was_moved = folder.is_absolute() and folder != Path(artifacts).absolute()
    if not remote and was_moved and not folder.parent.exists():
        raise TrackingError(
            f"MLflow's experiment {name!r} keeps its files in {folder}, so {folder.parent} must be "
            "there, but is not; was it moved? Move it back, or link it there, or name a new store "
            "with --tracking-uri sqlite:///new.db."
        )
    for name in _SHOWN_AS.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, name, _SHOWN_AS[name])
    return str(found.experiment_id)


def runs_page(uri: str, experiment_id: str) -> str:
    """How to see the runs of an experiment in a browser, with optimizer and lr as columns."""
    page = f"#/experiments/{experiment_id}/runs?viewStateShareKey={_VIEW}"
    if is_server(uri):
        return f"{without_password(uri).rstrip('/')}/{page}"
    return f"mlflow ui, then http://127.0.0.1:5000/{page}"


def is_server(uri: str) -> bool:
    """Whether the store is an MLflow server, reached by HTTP."""
    return uri.startswith(("http:", "https:"))


def check_server(uri: str) -> None:
    """Knock at the door of the server, where the store is one: MLflow's own client would be slow.

    Raises:
        TrackingError: it does not answer.
    """
    if not is_server(uri):
        return
    parts = urlsplit(uri)
    knocked: Future[None] = Future()

    def knock() -> None:
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), _PATIENCE_SECONDS).close()
        except (OSError, ValueError) as error:
            knocked.set_exception(error)
        else:
            knocked.set_result(None)

    threading.Thread(target=knock, daemon=True).start()  # a name may take long to be looked up
    try:
        knocked.result(_PATIENCE_SECONDS)
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"MLflow's server {without_password(uri)} must answer, but does not: {error}. "
            "Start it, or leave --tracking-uri and MLFLOW_TRACKING_URI away to use ./mlflow.db."
        ) from error


def fullness(status: str, metrics: Mapping[str, float]) -> tuple[bool, int]:
    """Orders runs of one record: that which ended is the fullest, then that with most metrics."""
    return status != "RUNNING", len(metrics)
