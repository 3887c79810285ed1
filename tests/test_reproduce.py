"""A logged run trained again, by the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.__main__ import main
from trainer.data import prepare
from trainer.runs.fit import fit
from trainer.runs.reproduce import NUMBERS, changes, read_run, verify
from trainer.settings.config import TrainConfig
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect
from trainer.tracking.mlflow_tracker import MlflowTracker
from trainer.tracking.names import ENVIRONMENT_FILE, STUDIES_EXPERIMENT


@pytest.fixture
def logged(
    small: Callable[..., TrainConfig], store: StageStore, tracking_uri: str, tmp_path: Path
) -> Callable[..., str]:
    """Trains a run and logs it; gives MLflow's id of it."""

    def make(**changes: object) -> str:
        tracker = MlflowTracker(
            tracking_uri, STUDIES_EXPERIMENT, str(tmp_path / "artifacts"), store
        )
        config = small(**{"limit": 20, "batch_size": 5, "epochs": 2, **changes})
        prepare(config.dataset, tmp_path, config.image_size)
        return tracker.run_id(fit(config, store, tracker, tmp_path).id)

    return make


def verified(
    run_id: str, uri: str, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, list[str], str]:
    """The command's exit status, its lines, and its error."""
    status = main(["--from-run", run_id, "--verify", "--tracking-uri", uri, *more])
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err


@pytest.mark.parametrize("changes", [{}, {"optimizer": "Adam", "lr": 1e9, "epochs": 3}])
def test_a_run_is_the_same_to_the_bit(
    changes: dict[str, object],
    logged: Callable[..., str],
    tracking_uri: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Epoch by epoch, also one that diverged; nothing is logged."""
    run_id = logged(**changes)
    count = len(read_run(run_id, tracking_uri).epochs)
    status, lines, _ = verified(run_id, tracking_uri, capsys)
    assert status == 0
    assert lines[:-1] == [f"epoch {n}/{count}  the same to the bit" for n in range(1, count + 1)]
    assert f"{count} of {count} epochs are the same" in lines[-1]
    client = connect(tracking_uri)
    assert len(client.search_runs([client.get_run(run_id).info.experiment_id])) == 1


def test_no_stored_epoch_is_believed(
    logged: Callable[..., str], store: StageStore, tracking_uri: str, tmp_path: Path
) -> None:
    """Whatever the store has of them."""
    run = read_run(logged(), tracking_uri)
    poisoned = list((tmp_path / "stages").rglob("*.json"))
    assert poisoned
    for path in poisoned:
        path.write_text("{}")
    assert [it.differences for it in verify(run, tmp_path)] == [{}, {}]


def test_a_number_that_differs_is_named_with_what_has_changed(
    logged: Callable[..., str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """At its epoch, with both values to the last digit; the status is 1."""
    run_id = logged()
    client = connect(tracking_uri)
    _, last = sorted(client.get_metric_history(run_id, "val_loss"), key=lambda it: it.step)
    other = math.nextafter(last.value, math.inf)
    client.log_metric(run_id, "val_loss", other, timestamp=last.timestamp + 1, step=2)
    recorded = json.loads(Path(client.download_artifacts(run_id, ENVIRONMENT_FILE)).read_text())
    recorded["python"] = "2.7.18"
    recorded["platform"]["torch"] = "0.1"
    client.log_text(run_id, json.dumps(recorded), ENVIRONMENT_FILE)
    status, lines, _ = verified(run_id, tracking_uri, capsys)
    assert status == 1
    assert lines[0] == "epoch 1/2  the same to the bit"
    assert lines[1] == f"epoch 2/2  differs: val_loss {other!r} -> {last.value!r}"
    assert lines[2] == f"Run {run_id}: 1 of 2 epochs differ."
    assert lines[3] == "Changed since that run:"
    assert lines[4] == f"  platform.torch: 0.1 -> {torch.__version__}"
    assert lines[5].startswith("  python: 2.7.18 -> 3.")
    assert len(lines) == 6


def test_a_run_is_the_base_of_another(
    logged: Callable[..., str],
    tracking_uri: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With other options before it; the epochs they share are reused."""
    run_id = logged()
    monkeypatch.chdir(tmp_path)
    places = ["--tracking-uri", tracking_uri, "--stages", str(tmp_path / "stages")]
    assert main(["--from-run", run_id, "--epochs", "3", *places]) == 0
    assert "epochs: 3, of them reused: 2" in capsys.readouterr().out


def test_what_cannot_be_verified_is_one_line(
    logged: Callable[..., str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No such run; one that trained nothing; another config; no run at all."""
    run_id = logged()
    client = connect(tracking_uri)
    bare = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    for got, more, words in (
        ("abc", [], "but got 'abc'"),
        (bare, [], "has no config.json"),
        (run_id, ["--lr", "3"], "leave out other options"),
    ):
        status, lines, error = verified(got, tracking_uri, capsys, *more)
        assert (status, lines, error.count("\n")) == (1, [], 1)
        assert words in error
    assert main(["--verify"]) == 1
    assert "--from-run RUN_ID" in capsys.readouterr().err


def test_a_run_of_before_its_environment_was_recorded_says_so(
    logged: Callable[..., str], tracking_uri: str, tmp_path: Path
) -> None:
    """It can be verified all the same."""
    run_id = logged()
    recorded = read_run(run_id, tracking_uri)
    assert changes(recorded, tmp_path) == []
    (path,) = (tmp_path / "artifacts").rglob(ENVIRONMENT_FILE)
    path.unlink()
    older = read_run(run_id, tracking_uri)
    assert set(older.epochs[0]) == set(NUMBERS)
    assert changes(older, tmp_path) == ["the run did not record what determined its numbers"]
