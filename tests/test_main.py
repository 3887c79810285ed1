import io
import os
import re
import signal
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from fresh import begin, run_module

from trainer.__main__ import main
from trainer.killpoints import VARIABLE
from trainer.tracking.connection import connect


@pytest.fixture
def short(
    sample: Path, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Words for a run of three short epochs, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return ["--dataset", str(sample), "--limit", "20", "--epochs", "3", "--device", "cpu"]


def runs(tracking_uri: str) -> list[Any]:
    """Every run that MLflow has, the oldest first."""
    return list(connect(tracking_uri).search_runs(["1"], order_by=["start_time ASC"]))


def test_the_command_trains_and_prints_a_line_an_epoch(
    sample: Path, tracking_uri: str, tmp_path: Path
) -> None:
    """In a process of its own, into the database that a bare `mlflow ui` reads there.

    It prints these lines and nothing else, on stdout or stderr.
    """
    words = "--limit 100 --epochs 2 --step-size 1 --gamma 0.5 --set momentum=0.9 --dataset"
    process = begin(
        tmp_path / "out", run_module, tmp_path, "trainer", [*words.split(), str(sample)]
    )
    process.join()
    assert process.exitcode == 0
    first, second, best, epochs, where, how = (tmp_path / "out").read_text().splitlines()
    line = r"running_loss \d+\.\d{4}  val_loss \d+\.\d{4}  val_accuracy 0\.\d{3}  "
    assert re.fullmatch(rf"epoch 1/2  {line}lr 0\.01  \d+\.\d s", first)
    assert re.fullmatch(rf"epoch 2/2  {line}lr 0\.005  \d+\.\d s", second)
    assert re.fullmatch(r"best: val_loss \d+\.\d{4} after epoch [12]", best)
    assert epochs == "epochs: 2, of them reused: 0"
    (run,) = runs(tracking_uri)
    assert where == f"MLflow run {run.info.run_id} in experiment 'trainer'"
    page = f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs"
    assert how == f"To see it: mlflow ui, then {page}?viewStateShareKey=sweeps"
    assert run.info.status == "FINISHED"
    assert run.data.params["momentum"] == "0.9"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns", "out"]
    artifacts = tmp_path / "mlruns" / "trainer" / run.info.run_id / "artifacts"
    assert sorted(path.name for path in artifacts.rglob("*.*")) == [
        "best.pt",
        "config.json",
        "environment.json",
        "last.pt",
    ]


def test_what_was_trained_before_is_reused(
    short: list[str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another number of epochs resumes where the first ended; each start is a run of its own."""
    assert main(short) == 0
    assert "epochs: 3, of them reused: 0\n" in capsys.readouterr().out
    assert main([*short, "--epochs", "4"]) == 0
    printed = capsys.readouterr().out
    assert "epochs: 4, of them reused: 3\n" in printed
    epochs = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert [line.endswith("  reused") for line in epochs] == [True, True, True, False]
    assert [run.data.tags["sweep.reused_epochs"] for run in runs(tracking_uri)] == ["0", "3"]


def test_the_tutorials_preset_is_its_first_listing(short: list[str], tracking_uri: str) -> None:
    """Plain SGD, one image a step, no shuffling, no schedule; other options go before it."""
    assert main([*short, "--preset", "tutorial", "--lr", "0.02", "--epochs", "1"]) == 0
    (run,) = runs(tracking_uri)
    expected = {"optimizer": "SGD", "lr": "0.02", "gamma": "1.0", "batch_size": "1"}
    assert run.data.params.items() >= {**expected, "shuffle": "False", "split": "test"}.items()


def test_options_say_where_things_lie(
    short: list[str], tracking_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store of MLflow, the stages and the data sets can each be elsewhere."""
    (tmp_path / "mlflow.db").rename(tmp_path / "other.db")
    words = ["--tracking-uri", f"sqlite:///{tmp_path}/other.db", "--checkpoints", "none"]
    words += ["--stages", "memory://test-main/stages", "--data-dir", "sets"]
    assert main([*short, *words, "--dataset", "digits"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlruns", "other.db", "sets"]
    assert [path.name for path in (tmp_path / "mlruns").iterdir()] == ["trainer"]
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == [".lock", "digits"]


def test_a_diverged_run_is_told_as_such(
    short: list[str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, so that a script sees it; no best epoch is named."""
    assert main([*short, "--lr", "1e6", "--batch-size", "5"]) == 1
    printed = capsys.readouterr().out
    assert "diverged in epoch 1: try a smaller --lr than 1e+06\n" in printed
    assert "best" not in printed
    (run,) = runs(tracking_uri)
    assert (run.info.status, run.data.tags["sweep.state"]) == ("KILLED", "diverged")


class Interrupted(io.StringIO):
    """A terminal at which somebody presses Ctrl-C as the second epoch is printed."""

    def write(self, text: str) -> int:
        """Take the text, until then."""
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt
        return super().write(text)


def test_an_interrupted_run_is_told_as_such_and_the_same_command_goes_on(
    short: list[str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 130, a run that MLflow shows as interrupted, and no epoch trained twice."""
    with redirect_stdout(Interrupted()):
        assert main(short) == 130
    assert capsys.readouterr().err == "Stopped; the same command resumes from here.\n"
    (run,) = runs(tracking_uri)
    assert (run.info.status, run.data.tags["sweep.state"]) == ("KILLED", "interrupted")
    trained = ended_at(tracking_uri)
    assert main(short) == 0
    assert "epochs: 3, of them reused: 0\n" in capsys.readouterr().out
    (again,) = runs(tracking_uri)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert ended_at(tracking_uri)[: len(trained)] == trained
    assert main(short) == 0
    assert len(runs(tracking_uri)) == 2


def ended_at(tracking_uri: str) -> list[float]:
    """When each epoch of the newest run was trained."""
    run = runs(tracking_uri)[-1]
    history = connect(tracking_uri).get_metric_history(run.info.run_id, "system/ended_at")
    return [point.value for point in history]


def killed(folder: Path, words: list[str]) -> None:
    """Train, and die as by `kill -9` when two epochs are logged, after the parameters."""
    os.setsid()
    os.environ[VARIABLE] = "numbers-logged@3"
    run_module(folder, "trainer", words)


def test_a_killed_run_is_ended_by_the_same_command(
    short: list[str], tracking_uri: str, tmp_path: Path
) -> None:
    """None stays RUNNING for ever, and there is no second one."""
    process = begin(tmp_path / "out", killed, tmp_path, short)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (run,) = runs(tracking_uri)
    assert run.info.status == "RUNNING"
    assert main(short) == 0
    (again,) = runs(tracking_uri)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizer", "adm"], "Unknown optimizer 'adm'; did you mean 'Adam'? Choices: "),
        (["--set", "learning_rate=1"], "Unknown argument of SGD 'learning_rate'; did you mean"),
        (["--set", "momentum"], "--set must be NAME=VALUE, but got 'momentum'."),
        (["--gamma", "1.5"], "gamma must be in (0, 1], but got 1.5."),
        (["--preset", "tutoral"], "Unknown preset 'tutoral'; did you mean 'tutorial'? Choices: "),
        (["--checkpoints", "all"], "checkpoints must be 'none', or some of "),
        (["--limit", "401"], "limit must be at most 400, the images that split 'test' of "),
        (["--dataset", "nowhere.npz"], "A data set must be a file, but there is no nowhere.npz."),
        (["--stages", "nosuch://there"], "nosuch://there cannot be a stage store: "),
        (["--stages", "mlflow.db"], "The stage store mlflow.db cannot be read: "),
        (["--tracking-uri", "nosuch://there"], "MLflow's store nosuch://there cannot be used: "),
    ],
)
def test_a_known_error_is_one_line_and_status_1(
    words: list[str], message: str, short: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on stdout, and no traceback."""
    assert main([*short, *words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--epoch", "3"], ["--epochs", "three"], ["--lr"], ["train"], ["--shuffle", "no"]]
)
def test_wrong_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With what is wrong, on stderr."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Error: " in printed.err
