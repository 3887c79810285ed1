"""The doctor: each thing that does not fit is found, what can be mended is mended."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from damage import Damage, damages
from hypothesis import given
from processes import call, finish, start, sweep

from sweeps.doctor.__main__ import main
from sweeps.doctor.studies import Found, check_studies
from sweeps.report.reading.frames import load_study
from trainer.killpoints import VARIABLE
from trainer.stages.sealed import read_saved
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect, search_runs
from trainer.tracking.names import TRIAL_TAG

WORDS = "--trials 4 --epochs 2 --limit 20 --batch-size 10 --device cpu --executor inline"
DOCTOR = "sweeps.doctor.__main__"


def run_of(name: str, status: str = "FINISHED", **changes: Any) -> Any:
    """A run as MLflow's client gives it: of trial 0 of study s, whose best val_loss is 0.5."""
    tags = {
        "sweep.study": "s",
        "sweep.group": "g",
        "sweep.run": name,
        "sweep.trial": "0",
        "sweep.state": "complete",
    }
    tags |= changes
    info = SimpleNamespace(run_name=name, status=status, artifact_uri="/nowhere")
    data = SimpleNamespace(
        tags={name: text for name, text in tags.items() if text is not None},
        metrics={"best_val_loss": changes.pop("best", 0.5)},
    )
    return SimpleNamespace(info=info, data=data)


def parent(**changes: Any) -> Any:
    """The study's own run."""
    about = {"sweep.trial": None, "sweep.objective": "val_loss"}
    return run_of("s", **(about | changes))


@pytest.fixture
def study() -> optuna.Study:
    """Study s with a complete trial."""
    made = optuna.create_study(study_name="s")
    made.set_user_attr("id", "g")
    made.add_trial(optuna.trial.create_trial(value=0.5))
    return made


WRONG = {
    "no process runs the study": [parent(), run_of("t", "RUNNING")],
    "is in MLflow of study other": [parent(), run_of("t", **{"sweep.study": "other"})],
    "MLflow has 2 runs of record t": [parent(), run_of("t"), run_of("t")],
    "MLflow does not have its own run": [run_of("t")],
    "trial 0 is complete, but MLflow does not have its run": [parent()],
    "trial 0 is complete, but failed in MLflow": [
        parent(),
        run_of("t", **{"sweep.state": "failed"}),
    ],
    "the best value of trial 0 is 0.5, but 0.25 in MLflow": [parent(), run_of("t", best=0.25)],
    "Optuna's storage has no such trial": [
        parent(),
        run_of("t"),
        run_of("u", **{"sweep.trial": "1"}),
    ],
    "Optuna's storage has no such study": [
        parent(),
        run_of("t"),
        run_of("u", **{"sweep.group": "h"}),
    ],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_found(what: str, study: optuna.Study) -> None:
    """Each by itself, in one line."""
    (finding,) = check_studies([Found(study, "")], WRONG[what])
    assert what in finding.what
    assert finding.where == "study s"


def test_what_fits_and_what_a_process_still_writes_is_no_finding(study: optuna.Study) -> None:
    """Nor are trials that were not trained to their end: the same command resumes them."""
    study.ask()
    assert not [*check_studies([Found(study, "")], [parent(), run_of("t")])]
    assert not [*check_studies([Found(study, "process 1")], [parent(status="RUNNING")])]


@pytest.fixture
def folder(sample: Path, empty_database: Path, tmp_path: Path) -> Path:
    """A folder with a study s that has ended, and a study k that was killed."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    words = [*WORDS.split(), "--dataset", str(sample), "--no-promote"]
    assert sweep(tmp_path, [*words, "--study", "s"]).status == 0
    killed = start(
        tmp_path, [*words, "--study", "k", "--seed", "1"], **{VARIABLE: "numbers-logged@3"}
    )
    assert finish(tmp_path, killed).status == -signal.SIGKILL
    return tmp_path


def doctor(folder: Path, *words: str) -> tuple[int, str]:
    """Its exit status and what it printed."""
    ended = finish(folder, start(folder, words, module=DOCTOR))
    return ended.status, ended.output


@pytest.mark.slow
def test_it_finds_what_is_wrong_and_mends_what_can_be_mended(folder: Path) -> None:
    """As the start of the same command does; afterwards the study is what it was."""
    uri = f"sqlite:///{folder}/mlflow.db"
    wanted = call(_table, uri)
    before = _content(folder)
    status, printed = doctor(folder)
    assert _content(folder) == before  # nothing was changed
    assert status == 1
    assert "study k" in printed
    assert "RUNNING in MLflow, but no process runs the study" in printed
    call(_break, uri)
    state, *_ = sorted(folder.glob("mlruns/stages/states/*.pt"))
    state.write_bytes(state.read_bytes()[:-1])
    status, printed = doctor(folder)
    assert "trial 1 is complete, but MLflow does not have its run" in printed
    assert str(state) in printed
    status, printed = doctor(folder, "--fix")
    assert (status, printed.rpartition("\n\n")[2].strip()) == (0, "Everything fits."), printed
    assert re.search(r"study k: .*\d running; the command that began it resumes them", printed), (
        printed
    )
    assert call(_table, uri) == wanted
    journal = folder / "mlruns/studies/s.journal"
    journal.write_bytes(b"{" + journal.read_bytes())
    status, printed = doctor(folder)
    assert status == 1
    assert "no such study" not in printed  # one line says that it cannot be read


def _table(uri: str) -> str:
    frame = load_study("s", uri).trials
    return frame.drop(columns=["run_id", "started_at", "seconds"]).to_json()


def _break(uri: str) -> None:
    """Delete the run of trial 1."""
    client = connect(uri)
    experiment = client.get_experiment_by_name("sweeps")
    query = f"tags.`sweep.study` = 's' AND tags.`{TRIAL_TAG}` = '1'"
    (run,) = search_runs(client, experiment.experiment_id, query)
    client.delete_run(run.info.run_id)


def _content(folder: Path) -> dict[str, bytes]:
    """All files but those of locks and of what the doctor prints."""
    skipped = (".lock", ".lease", "output.txt")
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(skipped)
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_in_an_empty_folder_everything_fits_and_nothing_is_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No database, no store."""
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("Everything fits.\n")
    assert not [*here.iterdir()]


def test_studies_of_other_programs_are_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a database may have them, too."""
    url = f"sqlite:///{here}/optuna.db"
    other = optuna.create_study(study_name="other", storage=url)
    other.add_trial(optuna.trial.create_trial(value=1.0))
    assert main(["--storage", url]) == 0
    assert "study other" not in capsys.readouterr().out


def test_states_are_pruned_by_the_time_of_their_last_use(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But none that a process said to need."""
    store = StageStore(here / "mlruns" / "stages")
    for key in ("old", "needed", "new"):
        store.put_state(key, {"a": torch.zeros(3)})
    store.evict(keep={"needed"})
    for key in ("old", "needed"):
        os.utime(here / f"mlruns/stages/states/{key}.pt", (0, time.time() - 90000))
    assert main(["--prune-older-than", "1d"]) == 0
    assert "Removed 1 states" in capsys.readouterr().out
    assert [store.has_state(key) for key in ("old", "needed", "new")] == [False, True, True]
    assert main(["--prune-older-than", "1"]) == 1
    assert "such as 30d, 12h or 90m, but got '1'" in capsys.readouterr().err


@given(damage=damages())
def test_a_damaged_checkpoint_is_noticed_or_harmless(
    damage: Damage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is damaged: where it counts as whole, its weights are those that were saved."""
    weights = {"a": torch.arange(100, dtype=torch.float32), "b": torch.ones(3, 4)}
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    file = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    file.write_bytes(buffer.getvalue())
    assert read_saved(file).keys() == weights.keys()
    file.write_bytes(damage(buffer.getvalue()))
    with suppress(pickle.UnpicklingError):
        loaded = read_saved(file)
        assert all(torch.equal(loaded[name], it) for name, it in weights.items())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """Checkpoints may come from people one trusts less than one's own code."""

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"a": Evil()}, tmp_path / "best.pt")
    with pytest.raises(pickle.UnpicklingError, match="cannot be read"):
        read_saved(tmp_path / "best.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_nothing_that_is_stored_is_unpickled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Studies, runs, epochs, checkpoints and data are all read while pickle refuses."""

    def refuse(*args: object, **settings: object) -> None:
        raise AssertionError("unpickled")

    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.chdir(folder)
    state, *_ = (folder / "mlruns/stages/states").glob("*.pt")
    assert StageStore(folder / "mlruns/stages").state(state.stem) is not None
    assert main(["--tracking-uri", f"sqlite:///{folder}/mlflow.db"]) == 1  # study k was killed
    assert "damaged" not in capsys.readouterr().out
