from pathlib import Path

import pytest

from trainer.settings.paths import Paths


def test_everything_lies_in_the_folder_the_process_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a bare `mlflow ui` started there finds it: ./mlflow.db and ./mlruns."""
    monkeypatch.chdir(tmp_path)
    paths = Paths.here()
    assert paths.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert paths.artifacts("sweeps") == f"{tmp_path}/mlruns/sweeps"
    assert paths.journal("mine") == tmp_path / "mlruns" / "studies" / "mine.journal"
    assert paths.stages == tmp_path / "mlruns" / "stages"
    assert paths.data == tmp_path / "dataset"
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_another_store_for_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own variable goes before the default; an empty one does not."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert Paths(tmp_path).tracking_uri == "http://there:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert Paths(tmp_path).tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
