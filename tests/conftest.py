"""What the tests share: a sample of real images, small configs, a store, a clean environment."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # tests of what is imported when should not find torch imported here
    from trainer.settings.config import TrainConfig
    from trainer.stages.store import StageStore


os.environ |= {  # Ray reads these when it is imported; without a token it writes one to $HOME
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2,
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set does not reach the tests, and MLflow tells nobody of them."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "SWEEPS_KILL_AT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def sample() -> Path:
    """400 test images and 100 training images of CIFAR-10."""
    return Path(__file__).parent / "sample" / "cifar10.npz"


@pytest.fixture
def small(sample: Path) -> Callable[..., TrainConfig]:
    """Makes configs of three epochs over 100 images, with changes."""
    from machine import DEVICE

    from trainer.settings.config import TrainConfig

    def make(**changes: Any) -> TrainConfig:
        fields: dict[str, Any] = {"dataset": str(sample), "limit": 100, "epochs": 3}
        return TrainConfig(**(fields | {"device": DEVICE} | changes))

    return make


@pytest.fixture(scope="session")
def s3_variables() -> Iterator[dict[str, str]]:
    """The environment in which S3's clients find a server with a bucket named `bucket`."""
    from services import bucket

    with bucket("bucket") as variables:
        yield variables


@pytest.fixture
def s3(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of that bucket, which this process finds."""
    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"


@pytest.fixture
def store(tmp_path: Path) -> StageStore:
    """A stage store of the test's own."""
    from trainer.stages.store import StageStore

    return StageStore(tmp_path / "stages")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's without runs; making one takes it seconds, copying it none."""
    from trainer.tracking.connection import connect

    database = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def tracking_uri(empty_database: Path, tmp_path: Path) -> str:
    """MLflow's store in the test's own folder, where a command started there looks for it."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
