"""How a run looks in MLflow, written once: single runs and sweeps log through the same tracker.

Source for what MLflow does with these calls: its 3.17 sources; see `MlflowTracker.sync`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import LostState, TrackingError
from trainer.stages.killpoints import passing
from trainer.tracking.connection import (
    connect,
    fullness,
    open_experiment,
    runs_page,
    search_runs,
    without_password,
)
from trainer.tracking.names import (
    EPOCH_ENDED_AT,
    EPOCH_REUSED,
    EPOCH_WORKER,
    GROUP_TAG,
    RETRAINED_TAG,
    REUSED_TAG,
    RUN_TAG,
    STATE_TAG,
    STUDY_TAG,
    TRAINED_TAG,
)
from trainer.tracking.record import (
    COMPLETE,
    DIVERGED,
    FAILED,
    FINAL_STATES,
    INTERRUPTED,
    PRUNED,
    RUNNING,
    SUSPENDED,
    Checkpoint,
    RunRecord,
)
from trainer.tracking.source import source_tags

if TYPE_CHECKING:  # so that importing this takes no torch
    from trainer.stages.store import StageStore

STATUS = {
    RUNNING: "RUNNING",
    SUSPENDED: "RUNNING",
    COMPLETE: "FINISHED",
    PRUNED: "KILLED",
    DIVERGED: "KILLED",
    FAILED: "FAILED",
    INTERRUPTED: "KILLED",
}
"""MLflow's status of a run in each state."""

_PARENT_TAG = "mlflow.parentRunId"
_BATCH = 900  # MLflow takes 1000 metrics a call


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
            self._uri = uri
            self.client = connect(uri)
            self.experiment_id = open_experiment(self.client, uri, experiment, artifacts)
        except TrackingError:
            raise
        except Exception as error:  # of MLflow, SQLAlchemy or requests, by what the URI names
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise TrackingError(
                f"MLflow's store {without_password(uri)} cannot be used: {reason}."
            ) from error
        self._store = store
        self._sent: dict[str, _Sent] = {}
        self._groups: set[str] = set()  # that were read
        self._unsure: set[str] = set()  # records of which an unknown part was taken
        self._source_tags = source_tags()

    def run_id(self, record_id: str) -> str:
        """MLflow's id of a run that was synced."""
        return self._sent[record_id].run_id

    @property
    def page(self) -> str:
        """How to see the runs of the experiment in a browser."""
        return runs_page(self._uri, self.experiment_id)

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
            and self._is_below_its_parent(sent, record)
        )

    def rename_study(self, group: str, name: str) -> None:
        """Show all runs of a group under another study's name."""
        for run in self._runs_with(GROUP_TAG, group):
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
            self._sent.pop(record.id, None)  # what of it MLflow took has to be read again
            self._unsure.add(record.id)
            raise

    def _send(self, record: RunRecord) -> None:
        sent = self._find(record) or self._create(record)
        if STATUS[record.state] == "RUNNING" != sent.status:
            self.client.update_run(sent.run_id, status="RUNNING")
            sent.status = "RUNNING"
        self._send_start(sent, record)
        self._send_epochs(sent, record)
        if record.ended_at is not None:
            self._send_end(sent, record)
        self._send_tags(sent, _tags(record) | self._parent_tag(record))
        if record.ended_at is not None:
            end_time = _milliseconds(record.ended_at)
            self.client.set_terminated(sent.run_id, STATUS[record.state], end_time)
            sent.status = STATUS[record.state]
            passing("run-ended")

    def _find(self, record: RunRecord) -> _Sent | None:
        """What is known of the run; the first question about a group reads all its runs."""
        if record.group not in self._groups:
            self._read(GROUP_TAG, record.group)
            self._groups.add(record.group)
        elif record.id in self._unsure:
            self._read(RUN_TAG, record.id)
        self._unsure.discard(record.id)
        return self._sent.get(record.id)

    def _read(self, tag: str, text: str) -> None:
        """Learn what MLflow has; of runs of one record, all but the fullest are deleted.

        There are several where a server made a run and its answer was lost, so that MLflow's client
        asked once more.
        """
        by_record: dict[str, list[Any]] = {}
        for run in self._runs_with(tag, text):
            by_record.setdefault(run.data.tags[RUN_TAG], []).append(run)
        for id, runs in by_record.items():
            best, *twins = sorted(
                runs, key=lambda it: fullness(it.info.status, it.data.metrics), reverse=True
            )
            for twin in twins:
                self.client.delete_run(twin.info.run_id)
            data = best.data
            self._sent[id] = _Sent(
                best.info.run_id, best.info.status, dict(data.params), dict(data.tags)
            )

    def _runs_with(self, tag: str, text: str) -> list[Any]:
        return list(search_runs(self.client, self.experiment_id, f"tags.`{tag}` = '{text}'"))

    def _create(self, record: RunRecord) -> _Sent:
        tags = {RUN_TAG: record.id, GROUP_TAG: record.group, **self._source_tags}
        tags |= self._parent_tag(record)
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

    def _parent_tag(self, record: RunRecord) -> dict[str, str]:
        """By which MLflow shows a run below its parent."""
        return {} if record.parent is None else {_PARENT_TAG: self._sent[record.parent].run_id}

    def _is_below_its_parent(self, sent: _Sent, record: RunRecord) -> bool:
        """Whether it is shown there; one whose parent was deleted and made anew is not."""
        parent = self._sent.get(record.parent or "")
        return parent is None or sent.tags.get(_PARENT_TAG) == parent.run_id

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
                EPOCH_REUSED: float(record.is_reused(result)),
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
            raise LostState(f"The state of epoch {checkpoint.epoch} is no longer stored.")
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


def _tags(record: RunRecord) -> dict[str, str]:
    tags = {**record.tags, STATE_TAG: record.state}
    if record.results:
        tags[TRAINED_TAG] = str(len(record.results) - record.reused_epochs)
        tags[REUSED_TAG] = str(record.reused_epochs)
    if record.retrained_epochs:
        tags[RETRAINED_TAG] = str(record.retrained_epochs)
    return tags


def _dataset(name: str, digest: str) -> Any:
    """The data, as MLflow shows it beside a run; code made it, and no URL leads to it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name=name, digest=digest, source_type="code", source='{"tags": {}}')
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
