import io
import json
import math
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from studies import START, child, parent, tracker_in, trained

from sweeps.errors import SweepError
from sweeps.report.__main__ import main, write
from sweeps.report.across import across
from sweeps.report.compare.ranking import LEAST_COMPLETE
from sweeps.report.publish import conclude, publish
from sweeps.report.reading.frames import load_study
from sweeps.report.summary import summarize
from sweeps.settings.config import SweepConfig
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect
from trainer.tracking.names import PAGE_FILE
from trainer.tracking.record import COMPLETE, DIVERGED, FAILED, PRUNED


@pytest.fixture(scope="module")
def uri(tmp_path_factory, empty_database):
    """MLflow's store with a study that has trials of every kind, one of none, one of ten alike."""
    folder = tmp_path_factory.mktemp("report")
    uri, tracker = tracker_in(folder, empty_database)
    full = parent("full", "full", START, asked=4)
    for record in (full, parent("empty", "empty", START - 1)):
        tracker.sync(record)
    endings = [
        (COMPLETE, TrainConfig(lr=0.1, optimizer_args={"momentum": 0.9}), [2.0, 1 / 3]),
        (PRUNED, TrainConfig(optimizer="Adam", lr=1e-4, step_size=10), [2 / 3]),
        (DIVERGED, TrainConfig(lr=1.0), [math.inf, math.nan]),
        (FAILED, TrainConfig(optimizer="Adadelta"), []),
    ]
    for number, (state, config, losses) in enumerate(endings):
        record = trained(child(full, number, config), *losses, reused=1)
        tracker.sync(record.ended(state, "val_loss", {}, at=START + 100))
    train = TrainConfig(epochs=2)
    settings = json.dumps(SweepConfig(train=train).settings())
    many = parent("many", "many", START - 2, asked=LEAST_COMPLETE)
    many = replace(many, files={"study.json": settings})
    tracker.sync(many)
    for number in range(LEAST_COMPLETE):
        config = replace(train, lr=0.1 / (1 + number))
        record = trained(child(many, number, config), 2.0, 1.0)
        tracker.sync(record.ended(COMPLETE, "val_loss", {}, at=START + 100))
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
    assert (read["format"], read["study"], read["objective"]) == (3, "full", "val_loss")
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
    assert "trials: 4 of 4 requested: 1 complete, 1 pruned, 1 diverged, 1 failed" in text
    assert "epochs: 5 requested, 2 trained; reused 3 of 5 (60 %)" in text
    assert "saved: 55 epochs (28 s of training) by stopping trials early, 3 (2 s) by reuse" in text
    assert "Best 2 of 2 ranked trials, by val_loss" in text
    assert "momentum=0.9" in text
    for optimizer in ("SGD", "Adam", "Adadelta"):
        assert f"\n{optimizer} " in text
    lines = [line.strip() for line in text.splitlines()]
    assert f"mlflow ui --backend-store-uri {uri}" in lines
    command = "python -m trainer --optimizer SGD --lr 0.1 --step-size 5 --gamma 0.1 --epochs 20"
    assert f"{command} --set momentum=0.9" in lines
    assert "\x1b" not in text


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_a_study_without_trials_can_be_shown(report, format):
    """What can be said of it is said."""
    text = report("--study", "empty", "--format", format)
    if format != "csv":
        assert "No trial has a result yet." in " ".join(text.split())


@pytest.mark.slow
def test_the_end_of_a_sweep_shows_the_study_and_keeps_its_page(report, uri, tmp_path):
    """What the command prints is printed, and the page lies with the study's run."""
    console = Console(file=io.StringIO(), width=80)
    conclude("full", uri, console)
    shown = report("--study", "full")
    assert console.file.getvalue().startswith(shown)
    assert "report.html" in console.file.getvalue()
    page = connect(uri).download_artifacts(load_study("full", uri).run_id, PAGE_FILE, str(tmp_path))
    assert Path(page).read_text() == report("--study", "full", "--format", "html")


def test_a_page_that_cannot_be_kept_is_said(uri, frames):
    """The sweep is done all the same."""
    lost = replace(frames, run_id="none")
    assert publish(lost, uri).startswith("The report's page could not be logged to MLflow: ")


@pytest.mark.parametrize("kind", ["trials", "curves", "summary"])
def test_parquet_read_back_equals_the_frame(report, frames, tmp_path, kind):
    """With its types."""
    path = tmp_path / "frame.parquet"
    report("--study", "full", "--format", "parquet", "--frame", kind, "-o", str(path))
    expected = across([frames]) if kind == "summary" else getattr(frames, kind)
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_exact=True)


@pytest.mark.slow
def test_studies_are_compared_and_their_frames_are_told_apart(report):
    """A row a study; of frames a first column names it."""
    both = ("--study", "full", "--study", "empty")
    assert "A  full\nB  empty\n" in report(*both)
    rows = pd.read_csv(io.StringIO(report(*both, "--format", "csv")))
    assert rows["study"].tolist() == ["full"] * 4
    summary = pd.read_csv(io.StringIO(report(*both, "--format", "csv", "--frame", "summary")))
    assert summary["study"].tolist() == ["full", "empty"]
    assert summary["trials"].tolist() == [4, 0]
    read = json.loads(report(*both, "--format", "json"))
    assert list(read) == ["format", "across", "studies"]
    assert [row["trials"] for row in read["across"]] == [4, 0]
    assert (
        read["studies"][0]["trials"] == json.loads(report(*both[:2], "--format", "json"))["trials"]
    )
    assert "| trials | 4 | 0 |" in report(*both, "--format", "markdown")


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


def test_a_dash_for_a_file_is_stdout(report):
    """-o - writes no file."""
    assert report("--study", "full", "-o", "-") == report("--study", "full")


@contextmanager
def small_files():
    """No file can be made longer than four bytes, as on a full disk; not even pytest's own."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_half_a_file_is_never_left(tmp_path):
    """Writing that fails midway leaves the file as it was, and nothing else."""
    path = tmp_path / "study.csv"
    for before in ([], ["study.csv"]):
        full = pytest.raises(SweepError, match=r"study\.csv must be .* but: File too large\.$")
        with full, small_files():
            write(path, b"halfway")
        assert [it.name for it in tmp_path.iterdir()] == before
        path.write_text("old")
    assert path.read_text() == "old"


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


@pytest.mark.parametrize(
    ("flag", "choices"),
    [
        ("--format", ["table", "csv", "json", "markdown", "html", "parquet"]),
        ("--frame", ["trials", "curves", "summary"]),
    ],
)
def test_an_unknown_choice_is_wrong_usage(flag, choices, capsys):
    """The error is one line that names the flag, what was got and the choices; status 2."""
    assert main([flag, "xml"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    for word in (flag, "xml", *choices):
        assert f"'{word}'" in error


def test_each_flag_has_help_and_help_is_light():
    """`--help` needs neither pandas nor mlflow nor torch."""
    code = (
        "import sys; from sweeps.report.__main__ import main; status = main(['--help']); "
        "sys.exit(status or bool({'pandas', 'mlflow', 'torch', 'rich.table'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    for flag, words in {
        "--study": "Name of the study",
        "--format": "a summary",
        "--frame": "one row per trial",
        "--out": "Write to FILE",
        "--tracking-uri": "MLflow's tracking URI",
    }.items():
        _, _, rest = done.stdout.partition(flag)
        assert words in " ".join(rest.split())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["table", "markdown", "json", "csv"])
def test_text_is_reported_without_what_only_pages_need(uri, format):
    """Importing these takes longer than the report itself, which has importances all the same."""
    code = (
        "import sys; from sweeps.report.__main__ import main; main(sys.argv[1:]); "
        "slow = {'plotly', 'optuna', 'jinja2', 'torch', 'sklearn'}; "
        "sys.exit(' '.join(slow & sys.modules.keys()) or 0)"
    )
    summary = summarize(load_study("many", uri))
    assert summary.importances
    assert any("sweeps.run" in item.command for item in summary.advice)
    words = ["--study", "many", "--format", format, "--tracking-uri", uri]
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
