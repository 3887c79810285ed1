import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from sweeps.errors import SweepError
from sweeps.frames import EXPERIMENT, OBJECTIVE_TAG, TRIALS_TAG, load_study
from sweeps.report import main, markdown, render_study, render_table, write
from sweeps.summary import summarize
from trainer.config import TrainConfig
from trainer.metrics import EpochResult
from trainer.record import COMPLETE, DIVERGED, FAILED, PRUNED, RunRecord, params_of
from trainer.store import StageStore
from trainer.tracking import STUDY_TAG, TRIAL_TAG, MlflowTracker

# MLflow 3.17 on SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
)

START = 1_760_000_000.0


def result(epoch, loss, trained_for):
    """An epoch's result with this loss; the first was trained for another run."""
    return EpochResult(
        epoch=epoch,
        running_loss=loss * 7,
        train_loss=loss,
        val_loss=loss / 3,
        val_accuracy=0.9999999,
        lr=0.1,
        epoch_seconds=1.5,
        images_per_second=100.0,
        first_batch_loss=2.3,
        state_digest="0",
        trained_for="another" if epoch == 1 else trained_for,
        worker="host:12",
        ended_at=START + epoch + 0.123456,
    )


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """MLflow's store with a study that has trials of every kind, and one that has none."""
    folder = tmp_path_factory.mktemp("report")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracker = MlflowTracker(uri, EXPERIMENT, str(folder / "runs"), StageStore(folder / "stages"))
    tags = {OBJECTIVE_TAG: "val_loss", TRIALS_TAG: "4"}
    for age, name in enumerate(("full", "empty")):
        named = {**tags, STUDY_TAG: name}
        tracker.sync(RunRecord(id=name, group=name, name=name, started_at=START - age, tags=named))
    endings = [
        (COMPLETE, TrainConfig(lr=0.1, optimizer_args={"momentum": 0.9}), [2.0, 1.0]),
        (PRUNED, TrainConfig(optimizer="Adam", lr=1e-4, step_size=10), [2.0 / 3]),
        (DIVERGED, TrainConfig(lr=1.0), [math.inf, math.nan]),
        (FAILED, TrainConfig(optimizer="Adadelta"), []),
    ]
    for number, (state, config, losses) in enumerate(endings):
        record = RunRecord(
            id=f"{number}",
            group="full",
            parent="full",
            name=f"trial {number}",
            started_at=START,
            params=params_of(config),
            tags={STUDY_TAG: "full", TRIAL_TAG: str(number)},
            results=tuple(
                result(epoch, loss, f"{number}") for epoch, loss in enumerate(losses, start=1)
            ),
        )
        tracker.sync(record.ended(state, "val_loss", {}, at=START + 100))
    return uri


@pytest.fixture(scope="module")
def frames(uri):
    """The full study."""
    return load_study("full", uri)


@pytest.fixture
def report(uri, capsys):
    """Runs the command on the store; gives what it printed."""

    def run(*words):
        assert main([*words, "--tracking-uri", uri]) == 0
        return capsys.readouterr().out

    return run


def shown(summary, **settings):
    """What a console shows of a summary."""
    console = Console(file=io.StringIO(), **{"width": 80, **settings})
    render_table(summary, console)
    return console.file.getvalue()


@pytest.mark.parametrize("kind", ["trials", "curves"])
def test_csv_read_back_equals_the_frame(report, frames, kind):
    """No number loses a bit on its way through CSV, nor do infinities."""
    frame = getattr(frames, kind)
    times = ["started_at" if kind == "trials" else "ended_at"]
    read = pd.read_csv(
        io.StringIO(report("--study", "full", "--format", "csv", "--frame", kind)),
        parse_dates=times,
        dtype={name: it for name, it in frame.dtypes.items() if name not in times},
    )
    pd.testing.assert_frame_equal(read.astype(frame.dtypes), frame, check_exact=True)


def test_csv_is_of_trials_unless_said_otherwise(report):
    """--frame need not be given."""
    csv = ("--study", "full", "--format", "csv")
    assert report(*csv) == report(*csv, "--frame", "trials")


def test_json_holds_the_summary_and_both_frames(report, frames):
    """It is valid JSON, in which null stands for what is no finite number."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    read = json.loads(report("--study", "full", "--format", "json"), parse_constant=refuse)
    assert list(read) == ["format", "study", "objective", "summary", "trials", "curves"]
    assert (read["format"], read["study"], read["objective"]) == (1, "full", "val_loss")
    assert read["summary"]["winner"]["value"] == summarize(frames).winner.value
    for name in ("trials", "curves"):
        frame = getattr(frames, name)
        assert [list(row) for row in read[name]] == [list(frame.columns)] * len(frame)
        back = pd.DataFrame(read[name]).astype(frame.dtypes)
        expected = frame.replace([math.inf, -math.inf], math.nan)
        pd.testing.assert_frame_equal(back, expected, check_exact=True)


def test_the_table_shows_winner_ranking_counts_and_next_commands(report, uri):
    """A pipe gets plain text, in which commands stand whole on their line."""
    text = report("--study", "full")
    assert "winner: trial 0 (complete), val_loss 0.333333" in text
    assert "trials: 4 of 4 asked for: 1 complete, 1 pruned, 1 diverged, 1 failed" in text
    assert "epochs: 5 asked for, 2 trained; reused 3 of 5 (60 %)" in text
    assert "Best 2 of 2 complete and pruned trials, by val_loss" in text
    assert "momentum=0.9" in text
    for optimizer in ("SGD", "Adam", "Adadelta"):
        assert f"\n{optimizer} " in text
    lines = [line.strip() for line in text.splitlines()]
    assert f"mlflow ui --backend-store-uri {uri}" in lines
    command = "python -m trainer --optimizer SGD --lr 0.1 --step-size 5 --gamma 0.1 --epochs 20"
    assert f"{command} --set momentum=0.9" in lines
    assert "\x1b" not in text


def test_the_table_is_readable_at_80_columns(frames):
    """Every line but the commands fits and no number is cut, whatever an optimizer's arguments."""
    top = summarize(frames).top.assign(weight_decay=0.0005, nesterov=True, betas="[0.9, 0.99]")
    top.loc[0, ["best_val_loss", "lr"]] = [123456.7, 0.0001]
    text = shown(replace(summarize(frames), top=top))
    ours = [line for line in text.splitlines() if not line.startswith("  ")]
    assert max(len(line.rstrip()) for line in ours) <= 80
    assert "…" not in text
    for word in ("123457", "0.0001", "nesterov=True", "weight_decay=0.0005"):
        assert word in text


def test_a_terminal_gets_colours(frames):
    """And markup in a study's name is but text."""
    text = shown(replace(summarize(frames), study="[red]a[/nothing]"), force_terminal=True)
    assert "\x1b[" in text
    assert "[red]a[/nothing]" in text


def test_nearly_all_is_not_shown_as_all(frames):
    """An accuracy of 0.9999999 is not 1."""
    assert "val_accuracy 0.9999999 " in shown(summarize(frames))


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_a_study_without_trials_can_be_shown(report, format):
    """What can be said of it is said."""
    text = report("--study", "empty", "--format", format)
    if format != "csv":
        assert "No trial is complete or pruned yet, so none is ranked." in " ".join(text.split())


def test_markdown_has_the_same_rows_as_the_table(report, frames):
    """Each row has as many cells as its header, and a bar in a name does not add one."""
    text = report("--study", "full", "--format", "markdown")
    assert text.startswith("# Study full\n")
    assert "| 0 | complete | 0.333333 | 2/2 | SGD | 0.1 | 5 | 0.1 | momentum=0.9 |" in text
    summary = summarize(frames)
    barred = replace(summary, top=summary.top.assign(betas="a|b"))
    for table in markdown(barred).split("\n\n"):
        rows = [row.replace("\\|", "") for row in table.splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_end_of_a_sweep_shows_the_study(uri, frames):
    """`render_study` prints what the command prints."""
    console = Console(file=io.StringIO(), width=80)
    render_study("full", uri, console)
    assert console.file.getvalue() == shown(summarize(frames))


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_out_writes_what_stdout_would_get(report, tmp_path, format):
    """One line says what was written, and nothing else is left beside the file."""
    words = ("--study", "full", "--format", format)
    expected = report(*words)
    said = report(*words, "--out", str(tmp_path / "study.out"))
    written = (tmp_path / "study.out").read_text()
    assert written == expected
    assert said == f"wrote {tmp_path / 'study.out'} ({len(written.encode()):,} bytes)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["study.out"]
    assert report(*words, "-o", "-") == expected


def test_half_a_file_is_never_left(tmp_path):
    """A writer that fails midway leaves the file as it was, and nothing else."""
    path = tmp_path / "study.csv"

    def fail(error):
        def render(stream):
            stream.write("half")
            stream.flush()
            raise error

        return render

    for before in ([], ["study.csv"]):
        for error in (ValueError("a bug"), KeyboardInterrupt()):
            with pytest.raises(type(error)):
                write(path, fail(error))
        with pytest.raises(SweepError, match=r"study\.csv must be .* but: disk full\.$"):
            write(path, fail(OSError(28, "disk full")))
        assert [it.name for it in tmp_path.iterdir()] == before
        write(path, lambda stream: stream.write("whole"))
        assert path.read_text() == "whole"


def test_errors_are_one_line_and_status_1(uri, tmp_path, capsys):
    """An unknown study, no store, a folder that is not there, options that do not go together."""
    for words in (
        ["--study", "ful", "--tracking-uri", uri],
        ["--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}"],
        ["--study", "full", "--tracking-uri", uri, "--out", str(tmp_path / "none" / "file")],
        ["--frame", "curves", "--format", "json", "--tracking-uri", uri],
    ):
        assert main(words) == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.startswith("error: ")
        assert streams.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_each_flag_has_help_and_help_is_light():
    """`--help` needs neither pandas nor mlflow nor torch."""
    code = (
        "import sys; from sweeps.report import main; status = main(['--help']); "
        "sys.exit(status or bool({'pandas', 'mlflow', 'torch', 'rich.table'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    for flag, words in {
        "--study": "Name of the study",
        "--format": "a summary",
        "--frame": "a row a trial",
        "--out": "Write to FILE",
        "--tracking-uri": "MLflow's store",
    }.items():
        _, _, rest = done.stdout.partition(flag)
        assert words in " ".join(rest.split())
