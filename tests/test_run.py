"""`python -m sweeps.run` from end to end, and killed wherever it can be."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import optuna
import pandas as pd
import pytest
from processes import Ended, finish, start, sweep
from servers import answer, free_port

from sweeps.confirm import main as confirm
from sweeps.report.reading.frames import load_study
from sweeps.run import main
from sweeps.settings.execution import ConfirmConfig
from sweeps.study.journal import journal_storage
from trainer.killpoints import KILL_POINTS, VARIABLE
from trainer.tracking.connection import connect, search_runs

TRIALS = 14
EPOCHS = 2
WHEN = ["started_at", "seconds", "ended_at", "epoch_seconds", "images_per_second"]
WHERE = ["worker", "run_id"]
ELSEWHERE = (
    "database-made",  # see test_tracking.py
    *("array-written", "arrays-described", "experiment-created"),  # see below
    "point-enqueued",  # see test_known.py
    "study-closed",  # see test_suspended.py
    *("study-copied", "study-set-aside", "run-interrupted", "run-closed", "run-renamed"),  # below
    *("run-reopened", "page-logged"),  # see below
    "run-tagged",  # see test_labels.py
    *("test-measured", "model-created", "model-copied", "model-logged"),  # test_promote.py
    *("outputs-logged", "name-registered", "version-registered", "alias-set"),  # too
)
PLACES = [place for place in KILL_POINTS if place not in ELSEWHERE]


def command(sample: Path, *more: str) -> list[str]:
    """A sweep that has trials of every kind: complete, pruned, diverged, and with reused epochs."""
    words = (
        f"--trials {TRIALS} --epochs {EPOCHS} --dataset {sample} --limit 50 --batch-size 5 "
        "--seed 4 --search-seed 7 --sampler TPESampler --pruner PercentilePruner "
        f"--space {sample.with_name('wide.toml')}"
    )
    return [*words.split(), "--device", "cpu", "--executor", "inline", *more]


def batched(words: Sequence[str], size: int) -> list[Sequence[str]]:
    """The words in groups of `size`, the last perhaps smaller."""
    return [words[start : start + size] for start in range(0, len(words), size)]


def table(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What MLflow shows of the trials and epochs, but for when and where they were trained."""
    study = load_study(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    frames = (study.trials, study.curves)
    trials, curves = (frame.drop(columns=[*WHEN, *WHERE], errors="ignore") for frame in frames)
    return trials, curves


def assert_whole(folder: Path, expected: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The folder's MLflow shows the expected table, each run once, ended and with its files."""
    for got, wanted in zip(table(folder), expected, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    runs = list(search_runs(client, experiment.experiment_id, ""))
    assert len(runs) == TRIALS + 1
    status = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "KILLED"}
    for run in runs:
        state = run.data.tags["sweep.state"]
        assert run.info.status == status[state]
        files = {item.path for item in client.list_artifacts(run.info.run_id, "checkpoints")}
        is_trial = "sweep.trial" in run.data.tags
        best = {"checkpoints/best.pt"} if state != "diverged" else set()
        assert files == (best | {"checkpoints/last.pt"} if is_trial else set())
        assert len(run.inputs.dataset_inputs) == is_trial


def states(folder: Path) -> dict[str, list[str]]:
    """MLflow's statuses of the runs in each state."""
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    found: dict[str, list[str]] = {}
    for run in search_runs(client, experiment.experiment_id, ""):
        found.setdefault(run.data.tags["sweep.state"], []).append(run.info.status)
    return found


@pytest.fixture
def folder(empty_database: Path, tmp_path: Path) -> Path:
    """A working folder with an empty MLflow database."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory, sample: Path
) -> tuple[Path, Ended]:
    """The folder of a sweep that nobody disturbed, and how it ended."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_database, folder)
    ended = sweep(folder, command(sample))
    assert ended.status == 0, ended.output
    return folder, ended


@pytest.fixture(scope="module")
def expected(undisturbed: tuple[Path, Ended]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of the undisturbed sweep."""
    return table(undisturbed[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confirm", "0"], "confirm must be a whole number of at least 1, but got 0."),
        (["--repeats", "3"], "--repeats must be used with --confirm K or --compare NAME."),
        (["--executor", "ray"], "With --dry-run executor must be local or inline, as batches"),
        (["--study", ""], "study must be 1 to 100 letters, digits, '.', '_' or '-'"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything is opened."""
    assert main(["--dry-run", *words]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_wrong_address_is_told_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither data nor a study is made, and a password is not shown."""
    monkeypatch.chdir(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    assert main(["--dataset", "digits", "--tracking-uri", f"http://me:secret@{address}"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: MLflow's server http://{address} must answer, but does")
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_leaves_every_trial_whole(
    undisturbed: tuple[Path, Ended], expected: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Each trial has its state, its epochs and its files, and all kinds of trials occur."""
    folder, ended = undisturbed
    trials, curves = expected
    assert_whole(folder, expected)
    assert set(trials["state"]) == {"complete", "pruned", "diverged"}
    assert list(trials["trial"]) == list(range(TRIALS))
    assert trials["reused_epochs"].sum() > 0
    assert trials["epochs"].sum() == len(curves)
    assert (trials.loc[trials["state"] == "complete", "epochs"] == EPOCHS).all()
    winner = trials.loc[trials["best_val_loss"].idxmin()]
    assert f"{winner['best_val_loss']:.5g}" in ended.output
    assert "mlflow ui" in ended.output
    assert "python -m trainer --optimizer" in ended.output


def test_reported_epochs_and_stored_epochs_are_the_same_ones(
    undisturbed: tuple[Path, Ended], expected: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """As many results are stored as epochs were trained: no epoch was trained twice."""
    stored = list((undisturbed[0] / "mlruns" / "stages" / "results").rglob("*.json"))
    assert len(stored) == expected[0]["trained_epochs"].sum()


@pytest.mark.slow
def test_a_bare_mlflow_ui_shows_the_runs(undisturbed: tuple[Path, Ended]) -> None:
    """`mlflow ui`, started in the folder without a word, answers with parent and trials."""
    port = free_port()
    small = {"MLFLOW_PORT": str(port), "MLFLOW_WORKERS": "1"}  # a free port, and not four workers
    small["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "ui"],
        cwd=undisturbed[0],
        env={**os.environ, **small},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
            found = answer(f"{api}/experiments/get-by-name?experiment_name=sweeps")
            query = {"experiment_ids": [found["experiment"]["experiment_id"]]}
            runs = answer(f"{api}/runs/search", query)["runs"]
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    (parent,) = [run for run, tag in zip(runs, tags, strict=True) if "sweep.trial" not in tag]
    parents = [tag["mlflow.parentRunId"] for tag in tags if "sweep.trial" in tag]
    assert parents == [parent["info"]["run_id"]] * TRIALS
    assert "of 14 trials" in str(parent["data"]["tags"])


def test_the_same_command_again_trains_nothing_and_logs_nothing(
    undisturbed: tuple[Path, Ended], expected: tuple[pd.DataFrame, pd.DataFrame], sample: Path
) -> None:
    """A study that has its trials only prints its summary."""
    folder = undisturbed[0]
    stored = {path: path.stat().st_mtime_ns for path in folder.glob("mlruns/stages/results/*/*")}
    database = (folder / "mlflow.db").read_bytes()
    again = sweep(folder, command(sample))
    assert again.status == 0, again.output
    assert "All trials of this study have ended; a larger --trials adds more." in again.output
    assert "winner" in again.output
    assert_whole(folder, expected)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored
    assert (folder / "mlflow.db").read_bytes() == database


@pytest.mark.slow
@pytest.mark.parametrize("places", batched(PLACES, 3), ids=" ".join)
def test_killed_between_any_two_writes_the_same_command_gives_the_same_table(
    places: Sequence[str],
    folder: Path,
    expected: tuple[pd.DataFrame, pd.DataFrame],
    sample: Path,
) -> None:
    """Kill -9, in each of these places in turn, loses nothing but the epoch in training."""
    for place in places:
        killed = sweep(folder, command(sample), **{VARIABLE: f"{place}@3"})
        assert killed.status == -signal.SIGKILL, killed.output
    again = sweep(folder, command(sample))
    assert again.status == 0, again.output
    assert_whole(folder, expected)


@pytest.mark.slow
def test_a_torn_journal_is_healed(
    folder: Path, expected: tuple[pd.DataFrame, pd.DataFrame], sample: Path
) -> None:
    """A line that was half written when the machine died is cut off, and the sweep resumes."""
    killed = sweep(folder, command(sample), **{VARIABLE: "epoch-reported@5"})
    assert killed.status == -signal.SIGKILL
    (journal,) = folder.glob("mlruns/studies/*.journal")
    journal.write_bytes(journal.read_bytes()[:-7])
    assert sweep(folder, command(sample)).status == 0
    assert_whole(folder, expected)


@pytest.mark.slow
def test_a_wiped_stage_store_costs_time_and_no_number(
    folder: Path, expected: tuple[pd.DataFrame, pd.DataFrame], sample: Path
) -> None:
    """Without stored stages the sweep resumes to the same losses."""
    killed = sweep(folder, command(sample), **{VARIABLE: "trial-told@8"})
    assert killed.status == -signal.SIGKILL
    shutil.rmtree(folder / "mlruns" / "stages")
    assert sweep(folder, command(sample)).status == 0
    shared = ["trained_epochs", "reused_epochs"]  # what was forgotten is trained anew
    pd.testing.assert_frame_equal(
        table(folder)[0].drop(columns=shared), expected[0].drop(columns=shared)
    )
    pd.testing.assert_frame_equal(
        table(folder)[1].drop(columns="reused"), expected[1].drop(columns="reused")
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_says_so_and_goes_on(
    kind: signal.Signals, folder: Path, expected: tuple[pd.DataFrame, pd.DataFrame], sample: Path
) -> None:
    """Ctrl-C and SIGTERM leave exit status 130 and a sweep that the same command continues."""
    process = start(folder, command(sample))
    results = folder / "mlruns" / "stages" / "results"
    deadline = time.monotonic() + 60
    while len(list(results.rglob("*.json"))) < 3 and time.monotonic() < deadline:
        process.join(0.05)
    assert process.pid is not None
    os.kill(process.pid, kind)
    ended = finish(folder, process)
    assert ended.status == 130, ended.output
    assert "the same command" in ended.output
    shown = states(folder)
    assert set(shown["interrupted"]) == {"KILLED"}  # the parent, and a trial if one was on its way
    assert "running" not in shown
    again = sweep(folder, command(sample))
    assert again.status == 0, again.output
    assert_whole(folder, expected)


@pytest.mark.slow
def test_local_workers_give_what_one_process_gives(folder: Path, sample: Path) -> None:
    """Two worker processes, killed with their parent in the middle, end with every trial whole."""
    words = command(sample, "--executor", "local", "--workers", "2", "--trials", "6")
    words += ["--sampler", "FrugalSampler", "--pruner", "FrugalPruner", "--space", ""]
    killed = sweep(folder, words, **{VARIABLE: "epoch-reported@4"})
    assert killed.status == -signal.SIGKILL, killed.output
    again = sweep(folder, words)
    assert again.status == 0, again.output
    trials, curves = table(folder)
    assert len(trials) == 6
    assert set(trials["state"]) <= {"complete", "pruned", "diverged"}
    assert len(curves) == trials["epochs"].sum()
    assert curves["val_loss"].map(math.isfinite).any()


@pytest.mark.slow
def test_other_settings_under_an_old_name_are_refused_until_it_is_set_aside(
    folder: Path, sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The difference and the ways out are shown; --fresh keeps the old runs under another name.

    By that name the old study can still be confirmed.
    """
    first = [*command(sample), "--study", "mine", "--trials", "1"]
    assert sweep(folder, first).status == 0
    other = [*first, "--epochs", "1"]
    refused = sweep(folder, other)
    assert refused.status == 1
    assert "epochs: 2 -> 1" in refused.output
    assert "--study" in refused.output
    assert "--fresh" in refused.output
    fresh = sweep(folder, [*other, "--fresh"])
    assert fresh.status == 0, fresh.output
    study = load_study("mine", tracking_uri=f"sqlite:///{folder}/mlflow.db")
    assert list(study.trials["epochs"]) == [1]
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    names = [
        run.data.tags["sweep.study"] for run in search_runs(client, experiment.experiment_id, "")
    ]
    assert len(names) == 4
    assert sorted(name.partition("~")[0] for name in names) == ["mine"] * 4
    old = next(name for name in names if "~" in name)
    monkeypatch.chdir(folder)
    again = ["--study", old, "--top", "1", "--repeats", "2", "--executor", "inline"]
    assert confirm(again) == 0, capsys.readouterr().err
    uri = f"sqlite:///{folder}/mlflow.db"
    assert len(load_study(old, uri).repeats) == 2
    assert load_study("mine", uri).repeats.empty


@pytest.mark.slow
def test_killed_while_a_study_is_set_aside_the_next_start_goes_on_with_that(
    folder: Path, sample: Path
) -> None:
    """Its runs in MLflow get its new name, and those that a kill left running are closed."""
    words = [*command(sample), "--study", "mine", "--trials", "3"]
    assert sweep(folder, words, **{VARIABLE: "numbers-logged@4"}).status == -signal.SIGKILL
    aside = ("study-copied", "study-set-aside", "run-interrupted", "run-closed", "run-renamed")
    for place in aside:
        killed = sweep(folder, [*words, "--fresh"], **{VARIABLE: place})
        assert killed.status == -signal.SIGKILL, killed.output
    again = sweep(folder, words)
    assert again.status == 0, again.output
    assert "The study that was called mine is now called mine~" in again.output
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    runs = list(search_runs(client, experiment.experiment_id, ""))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    old = [run for run in runs if run.data.tags["sweep.study"].startswith("mine~")]
    assert len(old) > 1
    assert len(runs) - len(old) == 4
    assert {run.data.tags["sweep.state"] for run in old} <= {"interrupted", "complete", "pruned"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["record-appended@5", "study-copied"])
def test_a_study_that_was_not_yet_set_aside_when_the_start_was_killed_is_resumed(
    place: str, folder: Path, sample: Path
) -> None:
    """Without --fresh: under its own name, in MLflow too, and the copy is deleted."""
    words = [*command(sample), "--study", "mine", "--trials", "2"]
    assert sweep(folder, words).status == 0
    before = table(folder)
    killed = sweep(folder, [*words, "--fresh"], **{VARIABLE: place})
    assert killed.status == -signal.SIGKILL, killed.output
    storage = journal_storage(folder / "mlruns" / "studies" / "mine.journal")
    assert len(optuna.get_all_study_names(storage)) == 2
    again = sweep(folder, words)
    assert again.status == 0, again.output
    assert optuna.get_all_study_names(storage) == ["mine"]
    for got, wanted in zip(table(folder), before, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    client = connect(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweeps")
    runs = search_runs(client, experiment.experiment_id, "")
    assert {run.data.tags["sweep.study"] for run in runs} == {"mine"}


@pytest.mark.slow
def test_killed_at_the_first_and_the_last_writes_the_same_command_continues(
    folder: Path, sample: Path
) -> None:
    """Making the experiment, preparing the data, the report's page, and reopening the study."""
    words = ["--dataset", "digits", "--limit", "20", "--batch-size", "10", "--epochs", "1"]
    words += ["--device", "cpu", "--executor", "inline", "--study", "s", "--trials"]
    points = ["experiment-created", "array-written", "array-written@2", "array-written@4"]
    for place in [*points, "arrays-described", "page-logged"]:
        killed = sweep(folder, [*words, "1"], **{VARIABLE: place})
        assert killed.status == -signal.SIGKILL, f"{place}: {killed.output}"
    killed = sweep(folder, [*words, "2"], **{VARIABLE: "run-reopened"})
    assert killed.status == -signal.SIGKILL, killed.output
    again = sweep(folder, [*words, "2"])
    assert again.status == 0, again.output
    assert states(folder) == {"complete": ["FINISHED"] * 3}
    prepared = sorted(path.name for path in (folder / "dataset" / "digits").iterdir())
    kinds = ("test-images", "test-labels", "train-images", "train-labels")
    assert prepared == ["meta.json", *(f"{kind}.npy" for kind in kinds)]


@pytest.mark.slow
def test_what_mlflow_or_optuna_lost_is_told(folder: Path, sample: Path, tmp_path: Path) -> None:
    """Without MLflow's database all is delivered again; without the journal a study begins anew."""
    words = [*command(sample), "--study", "mine", "--trials", "2"]
    assert "MLflow has" not in sweep(folder, words).output
    before = table(folder)
    shutil.move(folder / "mlflow.db", folder / "old.db")
    again = sweep(folder, words)
    assert again.status == 0, again.output
    assert (
        "MLflow has no runs of study mine, of which Optuna's storage has 2 trials" in again.output
    )
    for got, wanted in zip(table(folder), before, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    shutil.rmtree(folder / "mlruns")
    anew = sweep(folder, words)
    assert anew.status == 0, anew.output
    assert "MLflow has runs of a study mine that Optuna's storage does not have" in anew.output
    assert "MLflow has" not in sweep(folder, words).output


@pytest.mark.slow
def test_a_study_is_extended_by_asking_for_more_trials(
    folder: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory, sample: Path
) -> None:
    """--trials is the total; one trial at a time, a study that grew is that of one command."""
    words = command(sample, "--concurrent-trials", "1")
    at_once = tmp_path_factory.mktemp("at-once")
    shutil.copy(empty_database, at_once)
    assert sweep(at_once, words).status == 0
    assert sweep(folder, [*words, "--trials", "6"]).status == 0
    assert sweep(folder, words).status == 0
    assert_whole(folder, table(at_once))


def test_the_timeout_is_that_of_the_search_and_its_confirmation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The confirmation has what the search left of it."""
    given: list[float | None] = []

    def confirm(config: ConfirmConfig, places: object, view: object) -> bool:
        given.append(config.timeout)
        return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.engine.session.run_sweep", lambda config, places, view: True)
    monkeypatch.setattr("sweeps.engine.repeats.confirm", confirm)
    monkeypatch.setattr("sweeps.report.publish.conclude", lambda *args: None)
    words = ["--dataset", "digits", "--no-promote", "--confirm", "2", "--timeout"]
    assert main([*words, "100"]) == main([*words, "1e-9"]) == 0
    much, little = given
    assert much is not None
    assert 0 < much < 100
    assert little == 1e-9
