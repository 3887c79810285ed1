"""How a run looks in MLflow, written once: single runs and sweeps log through the same tracker.

Source for what MLflow does with these calls: its 3.17 sources; see `MlflowTracker.sync`.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainer.errors import TrackingError
from trainer.killpoints import passing
from trainer.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    FINAL_STATES,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    Checkpoint,
    RunRecord,
)

if TYPE_CHECKING:  # so that reading a report takes no torch
    from mlflow import MlflowClient

    from trainer.store import StageStore

STATUS = {
    RUNNING: "RUNNING",
    COMPLETE: "FINISHED",
    PRUNED: "KILLED",
    DIVERGED: "KILLED",
    FAILED: "FAILED",
    INTERRUPTED: "KILLED",
}
"""MLflow's status of a run in each state."""

RUN_TAG = "sweep.run"
GROUP_TAG = "sweep.group"
STUDY_TAG = "sweep.study"
TRIAL_TAG = "sweep.trial"
STATE_TAG = "sweep.state"
TRAINED_TAG = "sweep.trained_epochs"
REUSED_TAG = "sweep.reused_epochs"

EPOCH_REUSED = "epoch/reused"
EPOCH_WORKER = "epoch/worker"
EPOCH_ENDED_AT = "epoch/ended_at"
"""Per epoch: 1 if first trained for another run; process id of its worker; seconds since 1970."""

_PARENT_TAG = "mlflow.parentRunId"
_PATIENCE_SECONDS = 10.0
_BATCH = 900  # MLflow takes 1000 metrics a call


class Tracker(Protocol):
    """Something that shows runs to people."""

    def sync(self, record: RunRecord) -> None:
        """Make the copy of the run match the record; doing it twice changes nothing."""

    def is_whole(self, record: RunRecord) -> bool:
        """Whether the copy already shows the record to its end."""


class NullTracker:
    """Shows nothing to nobody, so that no loop has to ask whether there is a tracker."""

    def sync(self, record: RunRecord) -> None:
        """Do nothing."""

    def is_whole(self, record: RunRecord) -> bool:
        """Nothing is ever missing."""
        return True


@dataclass
class _Sent:
    """What MLflow already has of a run."""

    run_id: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    epochs: int = 0
    files: dict[str, str] = field(default_factory=dict)
    dataset: bool = False
    closed: bool = False


class MlflowTracker:
    """Makes MLflow's runs match their records.

    Not thread-safe: one thread owns it.

    Args:
        uri: tracking URI.
        experiment: name; created where it is missing.
        artifacts: where the artifacts of a new experiment go, for a store on this machine; a server
            decides for itself.
        store: where the states of checkpoints are found.

    Raises:
        TrackingError: the experiment cannot be used.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str, store: StageStore) -> None:
        try:
            self.client = connect(uri)
            self.experiment_id = _experiment(self.client, uri, experiment, artifacts)
        except TrackingError:
            raise
        except Exception as error:  # of MLflow, SQLAlchemy or requests, by what the URI names
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise TrackingError(
                f"MLflow's store {without_password(uri)} cannot be used: {reason}."
            ) from error
        self._store = store
        self._sent: dict[str, _Sent] = {}
        self._groups: set[str] = set()
        self._source_tags = _source_tags()

    def run_id(self, record_id: str) -> str:
        """MLflow's id of a run that was synced."""
        return self._sent[record_id].run_id

    def is_whole(self, record: RunRecord) -> bool:
        """Whether MLflow shows the run ended as the record says; an interrupted one never has.

        The status is set after all else, so a run that has it lacks nothing.
        """
        sent = self._find(record)
        return (
            record.state in FINAL_STATES
            and sent is not None
            and sent.status == STATUS[record.state]
            and sent.tags.items() >= {**record.tags, STATE_TAG: record.state}.items()
        )

    def rename_study(self, group: str, name: str) -> None:
        """Show all runs of a group under another study's name."""
        query = f"tags.`{GROUP_TAG}` = '{group}'"
        for run in list(search_runs(self.client, self.experiment_id, query)):
            self.client.set_tag(run.info.run_id, STUDY_TAG, name)

    def sync(self, record: RunRecord) -> None:
        """Send what MLflow lacks of the record: parameters, epochs, files, then tags, status last.

        MLflow drops a metric it has already (same run, name, step, time and value), so epochs that
        may have been sent before are sent again.

        Raises:
            TrackingError: a checkpoint's state is not stored.
            MlflowException: the store did not take it; nothing is lost by trying again.
        """
        if self.is_whole(record):
            return
        try:
            self._send(record)
        except BaseException:
            self._groups.discard(record.group)  # what of it MLflow took has to be read again
            raise

    def _send(self, record: RunRecord) -> None:
        sent = self._find(record) or self._create(record)
        if record.state == RUNNING and sent.status != "RUNNING":
            self.client.update_run(sent.run_id, status="RUNNING")
            sent.status = "RUNNING"
        self._send_start(sent, record)
        self._send_epochs(sent, record)
        if record.ended_at is not None:
            self._send_end(sent, record)
        self._send_tags(sent, _tags(record))
        if record.ended_at is not None:
            end_time = _milliseconds(record.ended_at)
            self.client.set_terminated(sent.run_id, STATUS[record.state], end_time)
            sent.status = STATUS[record.state]
            passing("run-ended")

    def _find(self, record: RunRecord) -> _Sent | None:
        """What is known of the run; the first question about a group reads all its runs."""
        if record.group not in self._groups:
            query = f"tags.`{GROUP_TAG}` = '{record.group}'"
            for run in search_runs(self.client, self.experiment_id, query):
                self._sent[run.data.tags[RUN_TAG]] = _Sent(
                    run.info.run_id, run.info.status, dict(run.data.params), dict(run.data.tags)
                )
            self._groups.add(record.group)
        return self._sent.get(record.id)

    def _create(self, record: RunRecord) -> _Sent:
        tags = {RUN_TAG: record.id, GROUP_TAG: record.group, **self._source_tags}
        if record.parent is not None:
            tags[_PARENT_TAG] = self._sent[record.parent].run_id
        run = self.client.create_run(
            self.experiment_id,
            start_time=_milliseconds(record.started_at),
            tags=tags | _tags(record),
            run_name=record.name,
        )
        sent = _Sent(run.info.run_id, run.info.status, {}, dict(run.data.tags))
        self._sent[record.id] = sent
        passing("run-created")
        return sent

    def _send_start(self, sent: _Sent, record: RunRecord) -> None:
        from mlflow.entities import Param

        missing = {name: text for name, text in record.params.items() if name not in sent.params}
        if missing:
            self.client.log_batch(sent.run_id, params=[Param(*item) for item in missing.items()])
            sent.params |= missing
            passing("params-logged")
        if record.dataset is not None and not sent.dataset:
            self.client.log_inputs(sent.run_id, [_dataset(*record.dataset)])
            sent.dataset = True
        for path, text in record.files.items():
            if sent.files.get(path) != text:
                self.client.log_text(sent.run_id, text, path)
                sent.files[path] = text

    def _send_epochs(self, sent: _Sent, record: RunRecord) -> None:
        from mlflow.entities import Metric

        rows = []
        for result in record.results[sent.epochs :]:
            values = result.metrics() | {
                EPOCH_REUSED: float(record.reused(result)),
                EPOCH_WORKER: float(result.worker.rpartition(":")[2]),
                EPOCH_ENDED_AT: result.ended_at,
            }
            time = _milliseconds(result.ended_at)
            rows += [Metric(name, value, time, result.epoch) for name, value in values.items()]
        for start in range(0, len(rows), _BATCH):
            self.client.log_batch(sent.run_id, metrics=rows[start : start + _BATCH])
        if rows:
            sent.epochs = len(record.results)
            passing("epoch-logged")

    def _send_end(self, sent: _Sent, record: RunRecord) -> None:
        from mlflow.entities import Metric

        assert record.ended_at is not None
        time = _milliseconds(record.ended_at)
        values = [Metric(name, value, time, 0) for name, value in record.metrics.items()]
        if values:
            self.client.log_batch(sent.run_id, metrics=values)
        for path, checkpoint in record.checkpoints.items():
            self._send_checkpoint(sent, path, checkpoint)

    def _send_checkpoint(self, sent: _Sent, path: str, checkpoint: Checkpoint) -> None:
        import torch

        state = self._store.state(checkpoint.key)
        if state is None:
            raise TrackingError(f"The state of epoch {checkpoint.epoch} is no longer stored.")
        content = state["model"] if checkpoint.weights_only else state | {"epoch": checkpoint.epoch}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            torch.save(content, file)
            self.client.log_artifact(sent.run_id, str(file), str(Path(path).parent))
        passing("checkpoint-logged")

    def _send_tags(self, sent: _Sent, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        changed = {name: text for name, text in tags.items() if sent.tags.get(name) != text}
        if changed:
            self.client.log_batch(sent.run_id, tags=[RunTag(*item) for item in changed.items()])
            sent.tags |= changed
            passing("tags-set")


def connect(uri: str) -> MlflowClient:
    """MLflow's client, with telemetry off unless the user turned it on, and no chatter.

    Raises:
        TrackingError: a server is named that does not answer.
    """
    _must_answer(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    for name in ("alembic", "mlflow.store.db.utils"):  # they tell of each step of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=uri)


def without_password(uri: str) -> str:
    """The URI as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _must_answer(uri: str) -> None:
    """Ask a server for anything: MLflow's own client would go on asking for minutes, in silence."""
    if not uri.startswith(("http:", "https:")):
        return
    try:
        urllib.request.urlopen(without_password(uri), timeout=_PATIENCE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise TrackingError(
            f"MLflow's server {without_password(uri)} must answer, but does not: {error}. "
            "Start it, or leave --tracking-uri and MLFLOW_TRACKING_URI away to use ./mlflow.db."
        ) from error


def search_runs(client: MlflowClient, experiment_id: str, query: str) -> Iterable[Any]:
    """Every run of the experiment that fits the query, however many pages that takes."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _tags(record: RunRecord) -> dict[str, str]:
    tags = {**record.tags, STATE_TAG: record.state}
    if record.results:
        tags[TRAINED_TAG] = str(len(record.results) - record.reused_epochs)
        tags[REUSED_TAG] = str(record.reused_epochs)
    return tags


def _experiment(client: MlflowClient, uri: str, name: str, artifacts: str) -> str:
    remote = uri.startswith(("http:", "https:", "databricks"))
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, None if remote else artifacts))
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
    return str(found.experiment_id)


def _dataset(name: str, digest: str) -> Any:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    dataset = MetaDataset(CodeDatasetSource(tags={}), name=name, digest=digest)
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])


def _source_tags() -> dict[str, str]:
    """Commit of the working folder, and whether it was changed since: MLflow's tag and our own."""
    try:
        commit = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
