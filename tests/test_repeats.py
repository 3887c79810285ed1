"""The best trials of a study trained again from other seeds, outside its ranking."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from processes import Ended, finish, start
from samples import Said

from sweeps import Places, SweepConfig, load_trials, sweep
from sweeps.confirm import main
from sweeps.engine.repeats import confirm
from sweeps.errors import SweepError, UnknownStudy
from sweeps.report.compare.ranking import rank
from sweeps.report.reading.frames import StudyFrames, load_study
from sweeps.settings.execution import ConfirmConfig
from sweeps.study.journal import journal_storage
from trainer.errors import ConfigError
from trainer.killpoints import VARIABLE
from trainer.metrics import VAL_LOSS, best
from trainer.settings.config import TrainConfig
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect, read_file

EPOCHS = 3


@pytest.fixture(scope="module")
def studied(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample: Path
) -> Iterator[Path]:
    """A working folder with a study in which the pruner stopped trials; nothing is confirmed."""
    folder = tmp_path_factory.mktemp("repeats")
    shutil.copy(empty_database, folder)
    train = TrainConfig(
        dataset=str(sample), limit=50, batch_size=5, epochs=EPOCHS, device="cpu", seed=4
    )
    config = SweepConfig(
        train=train,
        study="s",
        trials=9,
        executor="inline",
        sampler="RandomSampler",
        search_seed=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sweep(config, progress=False)
        yield folder


@pytest.fixture
def folder(studied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    shutil.copytree(studied, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(top: int = 2, repeats: int = 3, **more: object) -> ConfirmConfig:
    """What is to be confirmed, in this process."""
    fields = {"study": "s", "top": top, "repeats": repeats, "executor": "inline"}
    return ConfirmConfig(**(fields | more))


def results(folder: Path) -> int:
    """How many epochs are stored."""
    return len(list((folder / "mlruns" / "stages" / "results").rglob("*.json")))


def read() -> StudyFrames:
    """The study, as MLflow has it."""
    return load_study("s")


@pytest.mark.slow
def test_each_of_the_best_is_trained_from_the_same_other_seeds_to_its_end(folder: Path) -> None:
    """Their values are those of the trial's config under that seed; the ranking stays as it was."""
    before = load_trials("s")
    top = rank(read()).head(2)
    assert confirm(settings(), Places(), Said())
    frames = read()
    pd.testing.assert_frame_equal(frames.trials, before)
    assert set(frames.repeats["trial"]) == set(top["trial"])
    assert frames.repeats.groupby("trial")["seed"].agg(list).tolist() == [[5, 6, 7]] * 2
    store = StageStore(folder / "elsewhere")
    for row in frames.repeats.to_dict("records"):
        trial = before.set_index("trial").loc[row["trial"]]
        config = TrainConfig(
            dataset=trial["dataset"],
            limit=50,
            batch_size=5,
            epochs=EPOCHS,
            device="cpu",
            seed=row["seed"],
            optimizer=trial["optimizer"],
            lr=trial["lr"],
            step_size=int(trial["step_size"]),
            gamma=trial["gamma"],
        )
        alone = [train_stage(config, it, store, folder).result for it in range(1, EPOCHS + 1)]
        if row["state"] == "complete":
            assert row["epochs"] == EPOCHS
            assert row["value"] == best(alone, VAL_LOSS).val_loss


@pytest.mark.slow
def test_trials_that_share_their_best_epoch_are_confirmed_once(
    empty_database: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have the same weights by then, however they were trained after that."""
    shutil.copy(empty_database, tmp_path)
    monkeypatch.chdir(tmp_path)
    train = TrainConfig(dataset=str(sample), limit=50, batch_size=5, epochs=2, device="cpu")
    points = [(0.01, 0.1), (0.01, 0.2), (0.02, 0.1), (0.005, 0.1)]  # gamma acts after the end
    words = tuple(f"optimizer=SGD,lr={lr},step_size=2,gamma={it}" for lr, it in points)
    sweep(SweepConfig(train=train, study="s", trials=4, enqueue=words, executor="inline"))
    ranked = rank(read()).set_index("trial")
    assert ranked.loc[0, "best_val_loss"] == ranked.loc[1, "best_val_loss"]
    assert confirm(settings(top=4, repeats=1), Places(), Said())
    assert 0 in set(read().repeats["trial"])
    assert 1 not in set(read().repeats["trial"])


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_where_values_are_compared_the_best_of_each_race(
    objective: str,
    empty_database: Path,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them have two seeds, and the best of each value by these the others, too; a value that
    does badly is not left out.
    """
    shutil.copy(empty_database, tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text('optimizer = ["SGD", "Adam"]\nlr = [0.001, 0.002, 0.005, 0.01]\n')
    train = TrainConfig(dataset=str(sample), limit=50, batch_size=5, epochs=1, device="cpu")
    space = {"space": "space.toml", "compare": "optimizer", "sampler": "RandomSampler"}
    config = SweepConfig(
        train=train, study="s", trials=8, executor="inline", objective=objective, **space
    )
    sweep(config, progress=False)
    assert confirm(settings(top=2, repeats=4), Places(), Said())
    frames = read()
    ranked = rank(frames).drop_duplicates([f"best_{objective}", "best_epoch"])
    best = ranked.groupby("optimizer").head(2)
    repeats = frames.repeats.assign(
        optimizer=frames.repeats["trial"].map(ranked.set_index("trial")["optimizer"])
    )
    assert set(repeats["trial"]) == set(best["trial"])
    first = (
        repeats[repeats["seed"] <= 2].groupby(["optimizer", "trial"])["value"].agg(["size", "mean"])
    )
    assert (first["size"] == 2).all()
    more = set(repeats.loc[repeats["seed"] > 2, "trial"])
    assert len(more) == 2
    for _, means in first["mean"].groupby("optimizer"):
        chosen = means[means.index.get_level_values("trial").isin(more)]
        assert len(chosen) == 1
        assert chosen.iloc[0] == (means.max() if objective == "val_accuracy" else means.min())
    assert (repeats[repeats["trial"].isin(more)].groupby("trial").size() == 4).all()
    assert confirm(settings(top=2, repeats=4), Places(), Said())
    pd.testing.assert_frame_equal(read().repeats, frames.repeats)


@pytest.mark.slow
def test_a_trial_that_was_stopped_is_trained_to_its_end(folder: Path) -> None:
    """Its repeats have all epochs, though it has not."""
    stopped = read().trials.query("state == 'pruned'")
    assert len(stopped)
    assert confirm(settings(top=9, repeats=1), Places(), Said())
    repeats = read().repeats
    again = repeats[repeats["trial"].isin(stopped["trial"]) & (repeats["state"] == "complete")]
    assert len(again)
    assert set(again["epochs"]) == {EPOCHS}


@pytest.mark.slow
def test_what_is_confirmed_is_not_trained_again_and_more_seeds_are_added(folder: Path) -> None:
    """The same call trains nothing; a larger one trains the difference; Optuna hears nothing."""
    assert confirm(settings(repeats=2), Places(), Said())
    repeats, stored = read().repeats, results(folder)
    said = Said()
    assert confirm(settings(repeats=2), Places(), said)
    pd.testing.assert_frame_equal(read().repeats, repeats)
    assert results(folder) == stored
    assert confirm(settings(repeats=3), Places(), Said())
    grown = read().repeats
    assert len(grown) == 6
    kept = grown[grown["seed"].isin(repeats["seed"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, repeats)
    storage = journal_storage(folder / "mlruns" / "studies" / "s.journal")
    (study,) = storage.get_all_studies()
    assert len(storage.get_all_trials(study._study_id)) == 9


@pytest.mark.slow
def test_what_the_time_cut_off_goes_on(folder: Path) -> None:
    """Nothing is begun after the time; the same call without it ends where one call would."""
    assert not confirm(settings(timeout=1e-9), Places(), Said())
    assert confirm(settings(), Places(), Said())
    assert read().repeats["state"].isin(("complete", "diverged")).all()
    assert len(read().repeats) == 6


@pytest.mark.slow
def test_killed_before_a_repeat_has_its_parameters_the_report_and_the_same_command_work(
    folder: Path,
) -> None:
    """The repeat is no row until they are there, and ends as if nothing had happened."""
    words = ["--study", "s", "--top", "2", "--repeats", "3", "--executor", "inline"]

    def command(**environment: str) -> Ended:
        return finish(folder, start(folder, words, module="sweeps.confirm", **environment))

    for place in ("run-created@2", "numbers-logged@2"):
        killed = command(**{VARIABLE: place})
        assert killed.status == -signal.SIGKILL, killed.output
        assert len(read().repeats) < 6
    again = command()
    assert again.status == 0, again.output
    assert read().repeats["state"].isin(("complete", "diverged")).all()
    assert len(read().repeats) == 6


@pytest.mark.slow
def test_the_command_says_how_sure_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mean, deviation, difference, interval and verdict; the page in MLflow has them too."""
    assert main(["--top", "2", "--repeats", "5", "--executor", "inline"]) == 0
    printed = capsys.readouterr().out
    assert "confirmed: from 5 other seeds trial" in printed
    assert "Trained again from other seeds, by mean" in printed
    page = read_file(connect(f"sqlite:///{folder}/mlflow.db"), read().run_id, "report.html")
    assert "Trained again from other seeds, by mean" in page


def test_what_cannot_be_confirmed_is_refused(folder: Path) -> None:
    """Numbers that cannot be; a study that is not there; one that has nothing to confirm."""
    for name in ("top", "repeats"):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number of at least 1"):
            settings(**{name: 0})
    with pytest.raises(UnknownStudy, match="Unknown study 't'"):
        confirm(replace(settings(), study="t"), Places(), Said())
    train = TrainConfig(dataset=read().trials["dataset"][0], limit=50, device="cpu")
    late = SweepConfig(train=train, study="late", trials=1, executor="inline", timeout=1e-9)
    sweep(late, progress=False)
    with pytest.raises(SweepError, match="must have a complete or pruned trial"):
        confirm(replace(settings(), study="late"), Places(), Said())
