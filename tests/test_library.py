"""The library, in this process and from scripts of all kinds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from samples import npz

import sweeps
from sweeps import Places, SweepConfig, SweepError, load_curves, load_trials, sweep
from sweeps.engine.library import one_sweep
from sweeps.report.reading.frames import load_study
from sweeps.run import main
from trainer.errors import DataError
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect

ROOT = Path(__file__).parents[1]
GUARD = 'if __name__ == "__main__":'


@pytest.fixture
def places(tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Places:
    """All of them in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return Places(tracking_uri=tracking_uri)


@pytest.fixture
def script(tmp_path: Path, tracking_uri: str) -> Callable[..., tuple[int, str]]:
    """Runs a script; its exit status, and what it printed."""

    def run(text: str, *flags: str, name: str = "script.py") -> tuple[int, str]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            [sys.executable, *(flags or [name])],
            cwd=tmp_path,
            env=environment,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ended.returncode, ended.stdout

    return run


def test_the_public_names_are_sorted_and_there() -> None:
    """What `sweeps` exports is a short list that does not change by accident."""
    assert sweeps.__all__ == [
        "Places",
        "SweepConfig",
        "SweepError",
        "SweepResult",
        "TrainConfig",
        "load_curves",
        "load_trials",
        "sweep",
    ]
    for name in sweeps.__all__:
        assert getattr(sweeps, name).__name__ == name
    with pytest.raises(AttributeError, match="'sweeps' has no attribute 'sweeep'"):
        _ = sweeps.sweeep


def test_importing_it_imports_nothing_slow() -> None:
    """Not before a name is asked for."""
    code = (
        "import sys, sweeps; slow = {'torch', 'mlflow', 'optuna', 'pandas', 'rich'}; "
        "print(slow & set(sys.modules), 'sweep' in dir(sweeps))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert printed.strip() == "set() True"


@pytest.mark.slow
def test_a_sweep_gives_what_mlflow_shows_and_is_done_once(
    small: Callable[..., TrainConfig], places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """The frames are those that are read back; the same call again trains nothing."""
    config = SweepConfig(train=small(limit=20, epochs=2), trials=3, executor="inline", study="s")
    result = sweep(config, places, progress=False)
    assert capsys.readouterr().out == ""
    assert result.done
    assert result.study == "s"
    assert list(result.trials["trial"]) == [0, 1, 2]
    pd.testing.assert_frame_equal(result.trials, load_trials("s", places.tracking_uri))
    pd.testing.assert_frame_equal(result.curves, load_curves("s", places.tracking_uri))
    assert result.best is not None
    assert result.best.value == result.trials["best_val_loss"].min()
    again = sweep(config, places)
    assert "trial 0" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(again.curves, result.curves)


def test_a_sweep_whose_time_is_up_says_so(
    small: Callable[..., TrainConfig], places: Places
) -> None:
    """Its frames are what there is by then."""
    config = SweepConfig(train=small(limit=20), trials=3, executor="inline", timeout=1e-9)
    result = sweep(config, places)
    assert not result.done
    assert result.best is None
    assert result.curves.empty


@pytest.mark.slow
def test_a_start_that_fails_before_it_has_a_trial_is_not_the_newest_study(
    small: Callable[..., TrainConfig], places: Places, tmp_path: Path
) -> None:
    """Reports without a name still show the study before it."""
    config = SweepConfig(train=small(limit=20, epochs=1), trials=1, executor="inline", study="s")
    sweep(config, places, progress=False)
    other = replace(config, train=replace(config.train, dataset=npz(tmp_path / "tiny.npz")))
    for _ in range(2):
        with pytest.raises(DataError, match="images of 32 x 32"):
            sweep(replace(other, study="failed"), places, progress=False)
    assert load_study(None, places.tracking_uri).name == "s"


def test_code_of_some_trials_fails_these_alone(
    small: Callable[..., TrainConfig], places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that gives a vector: the trial has the reason, and others continue."""
    monkeypatch.syspath_prepend(Path.cwd())
    Path("losses_of_some.py").write_text(
        "def suggest(trial):\n"
        "    losses = ['cross_entropy', 'brought:each']\n"
        "    return {'loss': trial.suggest_categorical('loss', losses)}\n"
    )
    config = SweepConfig(
        train=small(limit=20, epochs=1),
        trials=2,
        executor="inline",
        space="losses_of_some:suggest",
        enqueue=("loss=brought:each", "loss=cross_entropy"),
    )
    result = sweep(config, places, progress=False)
    assert list(result.trials["state"]) == ["failed", "complete"]
    run = connect(places.tracking_uri).get_run(result.trials["run_id"][0])
    assert run.data.tags["sweep.reason"] == (
        "loss brought:each must give a tensor of shape (), the mean of a batch, but gave (20,)."
    )


def test_a_sweep_all_of_whose_trials_fail_is_an_error_with_the_first_reason(
    small: Callable[..., TrainConfig],
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether it has just failed or is found so; the command is one line and has status 1."""
    monkeypatch.syspath_prepend(Path.cwd())
    Path("no_loss.py").write_text(
        "def suggest(trial):\n"
        "    return {'loss': 'brought:broken', 'lr': trial.suggest_float('lr', 0.1, 0.2)}\n"
    )
    train = small(limit=20, epochs=1)
    config = SweepConfig(
        train=train, trials=2, executor="inline", space="no_loss:suggest", study="s"
    )
    with pytest.raises(SweepError) as caught:
        sweep(config, places, progress=False)
    assert "all 2 failed, trial 0 with: ValueError: no loss today. Each run" in str(caught.value)
    assert "traceback.txt (mlflow ui" in str(caught.value)
    words = f"--dataset {train.dataset} --limit 20 --epochs 1 --device cpu --executor inline"
    words += f" --trials 2 --space no_loss:suggest --study s --tracking-uri {places.tracking_uri}"
    assert main(words.split()) == 1
    assert capsys.readouterr().err == f"error: {caught.value}\n"
    assert list(load_trials("s", places.tracking_uri)["state"]) == ["failed"] * 2


def test_a_second_sweep_at_a_time_in_one_process_is_refused(
    small: Callable[..., TrainConfig], places: Places
) -> None:
    """Both would change what torch is set to; when the first has ended, another can begin."""
    config = SweepConfig(train=small(limit=20, epochs=1), trials=1, executor="inline")
    with one_sweep(), pytest.raises(SweepError, match="must run one sweep at a time"):
        sweep(config, places, progress=False)
    assert sweep(config, places, progress=False).done


@pytest.mark.slow
def test_a_script_without_the_guard_is_told_which_lines_to_write(
    script: Callable[..., tuple[int, str]],
) -> None:
    """Before anything is begun, with its own line in the place where it belongs."""
    status, printed = script(
        "from sweeps import SweepConfig, sweep\n\n"
        "def main():\n    return sweep(SweepConfig(trials=1))\n\n"
        "result = main()\n"
    )
    assert status == 1
    assert "script.py:6 must call the sweep under an `if`" in printed
    assert f"{GUARD}\n    result = main()" in printed
    assert "trial 0" not in printed


@pytest.mark.slow
def test_a_script_with_the_guard_sweeps(
    script: Callable[..., tuple[int, str]], sample: Path
) -> None:
    """With worker processes, which import it again."""
    status, printed = script(
        "from sweeps import SweepConfig, TrainConfig, sweep\n"
        f"train = TrainConfig(dataset={str(sample)!r}, limit=20, epochs=1, device='cpu')\n"
        "config = SweepConfig(train=train, trials=1, workers=1)\n"
        f"{GUARD}\n    print(sweep(config, progress=False).done)\n"
    )
    assert (status, printed) == (0, "True\n")


@pytest.mark.slow
def test_a_program_from_standard_input_sweeps(
    script: Callable[..., tuple[int, str]], sample: Path
) -> None:
    """There is no file of it that worker processes could import, so they do not try."""
    status, printed = script(
        "from sweeps import SweepConfig, TrainConfig, sweep\n"
        f"train = TrainConfig(dataset={str(sample)!r}, limit=20, epochs=1, device='cpu')\n"
        "config = SweepConfig(train=train, trials=1, workers=1)\n"
        "print(*sweep(config, progress=False).trials['state'])\n",
        "-",
    )
    assert (status, printed) == (0, "complete\n")


@pytest.mark.slow
def test_a_module_imported_by_a_worker_cannot_sweep(
    script: Callable[..., tuple[int, str]],
) -> None:
    """A guard around another call than the one that sweeps is found out by the worker."""
    status, printed = script(
        "import multiprocessing\n"
        "from sweeps.engine.library import check_guard\n"
        "def job(): pass\n"
        "if __name__ != '__main__':\n    check_guard(True)\n"
        f"{GUARD}\n"
        "    process = multiprocessing.get_context('spawn').Process(target=job)\n"
        "    process.start()\n    process.join()\n    raise SystemExit(process.exitcode)\n"
    )
    assert status == 1
    assert "must call the sweep under an `if`" in printed


@pytest.mark.slow
def test_where_no_process_imports_it_again_no_guard_is_needed(
    script: Callable[..., tuple[int, str]],
) -> None:
    """Trained in this process; run as a package; or no file at all."""
    text = "from sweeps.engine.library import check_guard\ncheck_guard({})\nprint('passed')\n"
    passed = (0, "passed\n")
    assert script(text.format(True))[0] == 1
    assert script(text.format(False)) == passed
    assert script(text.format(True), "-m", "mine", name="mine/__main__.py") == passed
    assert script("", "-c", text.format(True)) == passed
