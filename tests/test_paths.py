from pathlib import Path

import pytest

from trainer.errors import ConfigError
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


@pytest.mark.parametrize("name", ["50%41", "why?", "it's", 'a "name"'])
def test_a_folder_whose_path_mlflow_misreads_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs would be in another file than `mlflow ui` shows; with a server they are not there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="rename it, start in another one, or use an MLflow serv"):
        Paths(tmp_path / name).tracking_uri  # noqa: B018
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert Paths(tmp_path / name).tracking_uri == "http://there:5000"
