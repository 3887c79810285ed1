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

    from trainer.metrics import EpochResult
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


def send_data(client: MlflowClient, sent: Sent, record: RunRecord) -> None:
    """Send what data the run is trained on, and its files."""
    if record.dataset is not None and not sent.dataset:
        client.log_inputs(sent.run_id, [_dataset(*record.dataset)])
        sent.dataset = True
        passing("dataset-logged")
    changed = {path: text for path, text in record.files.items() if sent.files.get(path) != text}
    if changed:
        with tempfile.TemporaryDirectory() as folder:
            for path, text in changed.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            client.log_artifacts(sent.run_id, folder)  # one call: each reads the run
        sent.files |= changed
        passing("files-logged")


def send_numbers(client: MlflowClient, sent: Sent, record: RunRecord) -> None:
    """Send parameters, further epochs and, when the run ended, single values that changed.

    In as few calls as MLflow allows: each costs some ten metrics.
    """
    from mlflow.entities import Metric, Param

    params = {name: text for name, text in record.params.items() if name not in sent.params}
    single = {}
    if record.ended_at is not None:
        single = {k: value for k, value in record.metrics.items() if sent.metrics.get(k) != value}
    rows = [
        Metric(name, value, milliseconds(result.ended_at), result.epoch)
        for result in record.results[sent.epochs :]
        for name, value in _values(record, result).items()
    ]
    rows += [Metric(k, value, milliseconds(record.ended_at or 0), 0) for k, value in single.items()]
    if not rows and not params:
        return
    first = [Param(*item) for item in params.items()]
    for start in range(0, len(rows) or 1, _BATCH):
        client.log_batch(sent.run_id, metrics=rows[start : start + _BATCH], params=first)
        first = []
    sent.params |= params
    sent.metrics |= single
    sent.epochs = len(record.results)
    passing("numbers-logged")


def _values(record: RunRecord, result: EpochResult) -> dict[str, float]:
    """What MLflow shows of an epoch."""
    return result.metrics() | {
        EPOCH_REUSED: float(record.is_reused(result)),
        EPOCH_WORKER: float(result.worker.rpartition(":")[2]),
        EPOCH_ENDED_AT: result.ended_at,
    }


def send_checkpoints(
    client: MlflowClient, store: StageStore, sent: Sent, record: RunRecord
) -> None:
    """Send the states that are kept of the run.

    Raises:
        LostState: one of them is not stored.
    """
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
