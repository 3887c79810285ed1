"""A study is found or made, is the one that was meant, and is held by one process."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweeps.errors import StudyMismatch, SweepError
from sweeps.settings.config import SweepConfig
from sweeps.study.kinds import Kinds
from sweeps.study.lease import LEASE
from sweeps.study.opening import CREATED_AT, ID, SETTINGS, open_study
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths
from trainer.settings.references import unload_changed


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A working folder."""
    return Paths(tmp_path)


def test_the_same_settings_find_the_same_study(paths: Paths) -> None:
    """Its id and the time it was made stay, whoever opens it."""
    with open_study(SweepConfig(), paths) as first:
        first.optuna.tell(first.optuna.ask(), 1.0)
    again = open_study(SweepConfig(trials=60, workers=3), paths)
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert len(again.optuna.get_trials()) == 1
    assert open_study(SweepConfig(pruner="none"), paths).id != first.id


@pytest.mark.parametrize("missing", [[SETTINGS, CREATED_AT, ID], [CREATED_AT, ID], [ID]])
def test_a_start_that_died_while_it_made_the_study_is_made_whole(
    missing: list[str], paths: Paths
) -> None:
    """Whatever had not been written yet is written by the next start."""
    config = SweepConfig()
    with open_study(config, paths) as whole:
        pass
    attrs = {name: value for name, value in whole.optuna.user_attrs.items() if name not in missing}
    optuna.delete_study(study_name=config.study_name, storage=whole.optuna._storage)
    half = optuna.create_study(study_name=config.study_name, storage=whole.optuna._storage)
    for name, value in attrs.items():
        half.set_user_attr(name, value)
    again = open_study(config, paths)
    assert set(missing) <= set(again.optuna.user_attrs)
    assert again.optuna.user_attrs[SETTINGS] == config.settings()


def test_other_settings_are_refused_with_their_difference(paths: Paths) -> None:
    """The error names each setting that differs and the two ways out."""
    open_study(SweepConfig(study="mine"), paths)
    other = SweepConfig(study="mine", pruner="none", train=TrainConfig(epochs=5))
    with pytest.raises(StudyMismatch) as caught:
        open_study(other, paths)
    for words in ("pruner: FrugalPruner -> none", "epochs: 20 -> 5", "--study NAME", "--fresh"):
        assert words in str(caught.value)


def test_a_study_whose_code_was_edited_is_refused(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new results are not to be ranked in one table; without a name it is another study."""
    monkeypatch.syspath_prepend(tmp_path)
    code, space = tmp_path / "edited_net.py", tmp_path / "space.toml"
    space.write_text('lr = 0.1\nmodel = ["tutorial", "edited_net:make"]\n')
    code.write_text("import edited_layers\n")
    (tmp_path / "edited_layers.py").write_text("x = 1\n")

    def config(**changes: Any) -> SweepConfig:
        made = SweepConfig(space=str(space), **changes)
        unload_changed(made.references)
        return made

    open_study(config(study="mine"), paths)
    name = config().study_name
    open_study(config(study="mine"), paths)
    assert config().study_name == name
    (tmp_path / "edited_layers.py").write_text("x = 2\n")
    assert config().study_name != name
    with pytest.raises(StudyMismatch, match=r"code: .*edited_net:make"):
        open_study(config(study="mine"), paths)


def test_the_seed_of_the_weights_leaves_the_proposals_as_they_are(paths: Paths) -> None:
    """Only the seed of the search gives others."""

    def proposals(search_seed: int, seed: int) -> list[dict[str, Any]]:
        train = TrainConfig(seed=seed)
        config = SweepConfig(train=train, sampler="RandomSampler", search_seed=search_seed)
        study = open_study(config, paths).optuna
        study.sampler = Kinds(config, images=100).sampler
        for _ in range(5):
            config.search_space.suggest(study.ask(), train)
        return [trial.params for trial in study.get_trials()]

    assert proposals(0, seed=0) == proposals(0, seed=1)
    assert proposals(0, seed=0) != proposals(1, seed=0)


def test_a_study_is_let_go_however_a_start_ends(paths: Paths) -> None:
    """Another process need not wait until one whose start failed has ended."""
    opened = open_study(SweepConfig(), paths)

    def start() -> None:
        with opened:
            assert opened.optuna.user_attrs[LEASE]["pid"] == os.getpid()
            raise RuntimeError("MLflow cannot be reached")

    with pytest.raises(RuntimeError):
        start()
    assert opened.optuna.user_attrs[LEASE] is None


def test_optuna_knows_the_objectives_by_name(paths: Paths) -> None:
    """Its dashboard and plots show them; a study that had none gets them with its next start."""
    two = SweepConfig(objective="val_accuracy", second="seconds")
    assert open_study(two, paths).optuna.metric_names == ["val_accuracy", "seconds"]
    study = open_study(SweepConfig(), paths).optuna
    assert study.metric_names == ["val_loss"]
    study._storage.set_study_system_attr(study._study_id, "study:metric_names", None)
    assert open_study(SweepConfig(), paths).optuna.metric_names == ["val_loss"]


def test_a_study_of_before_the_search_had_a_seed_is_another_one(paths: Paths) -> None:
    """It was searched from the seed of its weights; resuming it would mix two searches."""
    with open_study(SweepConfig(study="mine"), paths) as opened:
        settings = dict(opened.optuna.user_attrs[SETTINGS])
        del settings["search_seed"]
        opened.optuna.set_user_attr(SETTINGS, settings)
    with pytest.raises(StudyMismatch, match="search_seed: None -> 0"):
        open_study(SweepConfig(study="mine"), paths)


@pytest.mark.parametrize("storage", [None, "sqlite:///{folder}/optuna.db"])
def test_fresh_sets_a_study_aside_with_all_its_trials(storage: str | None, paths: Paths) -> None:
    """The old study keeps its trials under another name; the new one begins with none."""
    url = storage and storage.format(folder=paths.root)
    with open_study(SweepConfig(study="mine"), paths, url) as old:
        old.optuna.tell(old.optuna.ask(), 1.0)
    with open_study(SweepConfig(study="mine", fresh=True), paths, url) as new:
        pass
    assert new.optuna.get_trials() == []
    assert new.id != old.id
    assert list(new.aside) == [old.id]
    name = new.aside[old.id]
    assert open_study(SweepConfig(study="mine"), paths, url).aside == {old.id: name}
    aside = optuna.load_study(study_name=name, storage=new.optuna._storage)
    assert [trial.value for trial in aside.get_trials()] == [1.0]
    assert aside.user_attrs[LEASE] is None  # nobody holds it


def test_fresh_without_an_old_study_is_nothing_special(paths: Paths) -> None:
    """There is nothing to set aside."""
    assert open_study(SweepConfig(fresh=True), paths).aside == {}


def test_a_storage_that_cannot_be_used_is_one_line(paths: Paths, tmp_path: Path) -> None:
    """The URL and the reason are named."""
    with pytest.raises(SweepError, match=r"sqlite:////nowhere/at/all\.db") as caught:
        open_study(SweepConfig(), paths, "sqlite:////nowhere/at/all.db")
    assert "\n" not in str(caught.value)
    with pytest.raises(SweepError, match=r"mysql://host/x cannot be used: No module named 'MySQL"):
        open_study(SweepConfig(), paths, "mysql://me:secret@host/x")
    optuna.storages.RDBStorage(url := f"sqlite:///{tmp_path}/study.db")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'of MLflow'")
    with pytest.raises(SweepError, match=r"cannot be used: its tables are not of this version"):
        open_study(SweepConfig(), paths, url)
