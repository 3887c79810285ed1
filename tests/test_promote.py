"""The winner's weights in MLflow's registry: what they give, once, and over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from servers import answer, free_port
from torch.nn import functional as F

from sweeps import Places, SweepConfig, load_trials, sweep
from sweeps.errors import SweepError, UnknownStudy
from sweeps.promote.__main__ import main
from sweeps.promote.champion import promote
from sweeps.report.reading.frames import load_study
from sweeps.report.summary import summarize
from trainer.killpoints import VARIABLE
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect, read_weights

STUDY = "s"


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample: Path
) -> Iterator[Path]:
    """A working folder with a study of three trials on normalised training images; not promoted."""
    folder = tmp_path_factory.mktemp("promote")
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train = TrainConfig(
            dataset=str(sample), split="train", limit=60, epochs=2, normalize=True, device="cpu"
        )
        points = [f"optimizer=SGD,lr={lr},step_size=1,gamma=0.5" for lr in (0.002, 0.005, 0.01)]
        config = SweepConfig(
            train=train, study=STUDY, trials=3, enqueue=tuple(points), executor="inline"
        )
        sweep(config, places_in(folder), progress=False)
        yield folder


def places_in(folder: Path) -> Places:
    """A folder as the working folder of a sweep."""
    return Places(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        stages=str(folder / "mlruns" / "stages"),
        data=folder / "dataset",
    )


def models(folder: Path) -> int:
    """How many models were ever logged there."""
    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sweeps")
    return len(client.search_logged_models([experiment.experiment_id]))


@pytest.fixture(scope="module")
def version(folder: Path) -> str:
    """The version that the winner has."""
    return promote(STUDY, places_in(folder)).version


def loaded(folder: Path) -> Any:
    """What the alias loads."""
    import mlflow

    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    source = client.get_model_version_by_alias(STUDY, "champion").source
    model = client.get_logged_model(source.removeprefix("models:/"))
    return mlflow.pytorch.load_model(model.artifact_location)


def images_of(sample: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as the model takes them, and their labels."""
    with np.load(sample) as arrays:
        images = torch.from_numpy(arrays[f"{part}_images"]).permute(0, 3, 1, 2).float() / 255
        return images, torch.from_numpy(arrays[f"{part}_labels"].astype(np.int64))


@pytest.mark.slow
def test_killed_between_any_two_writes_the_next_promotion_is_whole(folder: Path) -> None:
    """What the test images gave is there once and complete, and so is the model."""
    places = places_in(folder)
    assert models(folder) == 0  # so this test has to come before all that promote
    made = ("test-measured", "model-created", "model-copied", "model-logged")
    for place in (*made, "outputs-logged", "name-registered", "version-registered", "alias-set"):
        killed = subprocess.run(
            [sys.executable, "-m", "sweeps.promote", "--study", STUDY],
            cwd=folder,
            env={**os.environ, VARIABLE: place},
            start_new_session=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, place
    again = promote(STUDY, places)
    assert (again.version, again.is_new, models(folder)) == ("1", False, 1)
    assert again.test_accuracy is not None
    client = connect(str(places.tracking_uri))
    run_id = client.get_model_version_by_alias(STUDY, "champion").run_id
    points = [
        point
        for name in ("test_loss", "test_accuracy")
        for point in client.get_metric_history(run_id, name)
    ]
    assert len(points) == 2
    assert points[0].timestamp == points[1].timestamp


def test_the_champion_gives_the_numbers_that_its_trial_has(
    folder: Path, version: str, sample: Path
) -> None:
    """Validation loss of its best epoch, and what the test images gave, of images as they are."""
    winner = summarize(load_study(STUDY, f"sqlite:///{folder / 'mlflow.db'}")).winner
    assert winner is not None
    model = loaded(folder)
    images, labels = images_of(sample, "train")
    held_back = slice(90, None)  # the last tenth of the training images
    with torch.no_grad():
        scores = model(images[held_back])
        tested = model(images_of(sample, "test")[0])
    assert F.cross_entropy(scores, labels[held_back]).item() == pytest.approx(
        winner.value, rel=1e-5
    )
    right = (tested.argmax(1) == images_of(sample, "test")[1]).float().mean().item()
    assert winner.test_accuracy == pytest.approx(right, abs=1e-6)
    trials = load_trials(STUDY, f"sqlite:///{folder / 'mlflow.db'}").set_index("trial")
    assert trials["test_accuracy"].notna().tolist() == [it == winner.trial for it in trials.index]


def test_the_line_that_is_printed_loads_it_and_predicts(
    folder: Path, version: str, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy in, NumPy out, in evaluation mode; nothing else has to be called."""
    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own type hints
        import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    images = images_of(sample, "test")[0]
    (line,) = [it for it in promote(STUDY, places_in(folder)).lines if "load_model" in it]
    scores = eval(line.strip(), {"mlflow": mlflow, "images": images[:3].numpy()})
    with torch.no_grad():
        expected = loaded(folder)(images[:3])
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_torch_refuses_eval_of_what_is_loaded(folder: Path, version: str) -> None:
    """As docs/results.md says; were it allowed, the printed line could use `mlflow.pytorch`."""
    with pytest.raises(NotImplementedError):
        loaded(folder).eval()


def test_it_says_where_it_came_from(folder: Path, version: str) -> None:
    """Trial, epoch, value and the command that trains it, with what loads it pinned."""
    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    winner = summarize(load_study(STUDY, f"sqlite:///{folder / 'mlflow.db'}")).winner
    assert winner is not None
    found = client.get_model_version_by_alias(STUDY, "champion")
    assert str(found.version) == version
    assert found.run_id == winner.run_id
    assert winner.command in found.description
    assert found.tags["sweep.trial"] == str(winner.trial)
    assert found.tags["sweep.epoch"] == str(winner.epoch)
    logged = client.get_logged_model(found.source.removeprefix("models:/"))
    assert logged.source_run_id == winner.run_id
    assert client.get_experiment(logged.experiment_id).name == "sweeps"
    texts = Path(client.download_artifacts(winner.run_id, "config.json")).read_text()
    assert json.loads(texts)["normalize"] is True
    place = Path(logged.artifact_location.removeprefix("file://"))
    pinned = (place / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in pinned} >= {"mlflow", "torch", "numpy"}
    assert all("==" in line for line in pinned)


def test_what_is_promoted_is_logged_once_and_the_alias_goes_where_it_is_told(
    folder: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same trial again is the same version; another trial is another, and back again."""
    count, places = models(folder), places_in(folder)
    again = promote(STUDY, places)
    assert (again.version, again.is_new, models(folder)) == (version, False, count)
    trials = load_trials(STUDY, places.tracking_uri)
    ranked = trials[trials["best_val_loss"].notna()]["trial"]
    other = next(it for it in ranked if it != again.trial)
    words = ["--study", STUDY, "--trial", str(other), "--tracking-uri", str(places.tracking_uri)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert f"models:/{STUDY}@champion is now version {int(version) + 1}: trial {other}" in printed
    assert "test_accuracy" in printed
    assert promote(STUDY, places).version == version
    assert models(folder) == count + 1


def test_what_cannot_be_promoted_is_refused_with_what_can(folder: Path) -> None:
    """A study or a trial that is not there."""
    places = places_in(folder)
    with pytest.raises(UnknownStudy, match="Unknown study 'ss'"):
        promote("ss", places)
    with pytest.raises(SweepError, match=r"the best of which are .*, but got 77"):
        promote(STUDY, places, 77)


def test_weights_that_do_not_give_their_numbers_are_not_registered(
    folder: Path, version: str, tmp_path: Path
) -> None:
    """Somebody trained them with code that has changed since, say."""
    places = places_in(folder)
    client, count = connect(str(places.tracking_uri)), models(folder)
    trials = load_trials(STUDY, places.tracking_uri)
    left = [
        row
        for _, row in trials[trials["best_val_loss"].notna()].iterrows()
        if not client.search_model_versions(f"name='{STUDY}' and run_id='{row['run_id']}'")
    ]
    row = left[0]
    weights = read_weights(client, row["run_id"], "checkpoints/best.pt")
    torch.save({name: value * 3 for name, value in weights.items()}, tmp_path / "best.pt")
    client.log_artifact(row["run_id"], str(tmp_path / "best.pt"), "checkpoints")
    with pytest.raises(SweepError, match="must reproduce its val_loss"):
        promote(STUDY, places, int(row["trial"]))
    assert models(folder) == count


@pytest.mark.slow
def test_a_server_answers_with_the_scores_of_the_champion(
    folder: Path, version: str, sample: Path
) -> None:
    """`mlflow models serve`, as the command prints it, over HTTP."""
    images = images_of(sample, "test")[0][:3]
    with torch.no_grad():
        expected = loaded(folder)(images).numpy()
    port = free_port()
    words = ["models", "serve", "-m", f"models:/{STUDY}@champion", "--env-manager", "local"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    with (
        (folder / "serve.txt").open("w") as output,
        subprocess.Popen(
            [str(Path(sys.executable).with_name("mlflow")), *words, "-p", str(port)],
            env=environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            got = answer(f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()})
        except Exception as error:
            raise AssertionError((folder / "serve.txt").read_text()) from error
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    np.testing.assert_allclose(np.array(got["predictions"]), expected, rtol=1e-5, atol=1e-6)
