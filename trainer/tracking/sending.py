"""What a run in MLflow has, and the calls that send what it lacks of its record."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import LostState
from trainer.killpoints import passing
from trainer.tracking.names import EPOCH_ENDED_AT, EPOCH_REUSED, EPOCH_WORKER
from trainer.tracking.record import Checkpoint, RunRecord

if TYPE_CHECKING:  # so that importing this takes neither MLflow nor torch
    from mlflow import MlflowClient

    from trainer.stages.store import StageStore

_BATCH = 900  # MLflow takes 1000 metrics a call


@dataclass
class Sent:
    """What MLflow already has of a run."""

    run_id: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    files: dict[str, str] = field(default_factory=dict)
    dataset: bool = False


def send_start(client: MlflowClient, sent: Sent, record: RunRecord) -> None:
    """Send parameters, data and files."""
    from mlflow.entities import Param

    missing = {name: text for name, text in record.params.items() if name not in sent.params}
    if missing:
        client.log_batch(sent.run_id, params=[Param(*item) for item in missing.items()])
        sent.params |= missing
        passing("params-logged")
    if record.dataset is not None and not sent.dataset:
        client.log_inputs(sent.run_id, [_dataset(*record.dataset)])
        sent.dataset = True
        passing("dataset-logged")
    for path, text in record.files.items():
        if sent.files.get(path) != text:
            client.log_text(sent.run_id, text, path)
            sent.files[path] = text
            passing("file-logged")


def send_epochs(client: MlflowClient, sent: Sent, record: RunRecord) -> None:
    """Send the numbers of further epochs."""
    from mlflow.entities import Metric

    rows = []
    for result in record.results[sent.epochs :]:
        values = result.metrics() | {
            EPOCH_REUSED: float(record.is_reused(result)),
            EPOCH_WORKER: float(result.worker.rpartition(":")[2]),
            EPOCH_ENDED_AT: result.ended_at,
        }
        time = milliseconds(result.ended_at)
        rows += [Metric(name, value, time, result.epoch) for name, value in values.items()]
    for start in range(0, len(rows), _BATCH):
        client.log_batch(sent.run_id, metrics=rows[start : start + _BATCH])
    if rows:
        sent.epochs = len(record.results)
        passing("epoch-logged")


def send_end(client: MlflowClient, store: StageStore, sent: Sent, record: RunRecord) -> None:
    """Send single values that MLflow has not, or has otherwise, and checkpoints.

    Raises:
        LostState: a checkpoint's state is not stored.
    """
    from mlflow.entities import Metric

    assert record.ended_at is not None
    time = milliseconds(record.ended_at)
    changed = {
        name: value for name, value in record.metrics.items() if sent.metrics.get(name) != value
    }
    if changed:
        values = [Metric(name, value, time, 0) for name, value in changed.items()]
        client.log_batch(sent.run_id, metrics=values)
        sent.metrics |= changed
        passing("values-logged")
    for path, checkpoint in record.checkpoints.items():
        _send_checkpoint(client, sent, path, checkpoint, store)


def _send_checkpoint(
    client: MlflowClient, sent: Sent, path: str, checkpoint: Checkpoint, store: StageStore
) -> None:
    import torch

    state = store.state(checkpoint.key)
    if state is None:
        raise LostState(f"The state of epoch {checkpoint.epoch} is no longer stored.")
    content = state["model"] if checkpoint.weights_only else {"epoch": checkpoint.epoch} | state
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, Path(path).name)
        torch.save(content, file)
        client.log_artifact(sent.run_id, str(file), str(Path(path).parent))
    passing("checkpoint-logged")


def send_tags(client: MlflowClient, sent: Sent, tags: Mapping[str, str]) -> None:
    """Send the tags that MLflow has not, or has otherwise."""
    from mlflow.entities import RunTag

    changed = {name: text for name, text in tags.items() if sent.tags.get(name) != text}
    if changed:
        client.log_batch(sent.run_id, tags=[RunTag(*item) for item in changed.items()])
        sent.tags |= changed
        passing("tags-set")


def _dataset(name: str, digest: str) -> Any:
    """The data, as MLflow shows it beside a run; code made it, and no URL leads to it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name=name, digest=digest, source_type="code", source='{"tags": {}}')
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def milliseconds(seconds: float) -> int:
    """Since 1970, as MLflow has them."""
    return round(seconds * 1000)
