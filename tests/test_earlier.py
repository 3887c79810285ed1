"""An earlier study's trials are read as if the study that learns from them had asked for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from sweeps.errors import StudyMismatch, UnknownStudy
from sweeps.search.allocation.curves import DIVERGED_ATTR, DIVERGED_CONSTRAINT
from sweeps.settings.check import check_sweep
from sweeps.settings.config import SweepConfig
from sweeps.study.earlier import Earlier, read_earlier
from sweeps.study.kinds import Kinds
from sweeps.study.opening import LEARNS_FROM, open_study
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths

PLAIN = """
optimizer = ["SGD", "Adam"]
lr = { low = 1e-4, high = 0.1, grid = "1-2-5" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
"""
MORE = PLAIN + "batch_size = [32, 64]\nweight_decay = { low = 0.0, high = 0.1 }\n"
FEWER = """
optimizer = "Adam"
lr = { low = 1e-3, high = 1.0, grid = "1-2-5" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
"""
BRANCHED = """
optimizer = ["SGD", "Adam"]
gamma = { low = 0.1, high = 0.9, step = 0.1 }
[when.optimizer.SGD]
lr = { low = 1e-3, high = 1.0, grid = "1-2-5" }
[when.optimizer.Adam]
lr = { low = 1e-5, high = 0.01, grid = "1-2-5" }
"""

Tell = Callable[[optuna.Study, optuna.Trial, float], object]


def complete(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    """It has trained to its end."""
    study.tell(trial, value)


def pruned(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    """It was stopped after an epoch."""
    trial.report(value, step=1)
    study.tell(trial, state=TrialState.PRUNED)


def diverged(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    """It diverged, as samplers that learn from all trials are told it."""
    trial.set_constraint(DIVERGED_CONSTRAINT, 1.0)
    study.tell(trial, state=TrialState.PRUNED)


def penalized(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    """It diverged, as the other samplers are told it."""
    trial.set_user_attr(DIVERGED_ATTR, True)
    study.tell(trial, 2.3)


def failed(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    """It failed."""
    study.tell(trial, state=TrialState.FAIL)


class Folder:
    """A working folder with studies in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)

    def config(self, name: str, space: str = PLAIN, **changes: Any) -> SweepConfig:
        """A sweep of a space: what a file says, or a function."""
        if ":" not in space.partition("\n")[0]:
            file = self.root / f"{name}.toml"
            file.write_text(space)
            space = str(file)
        return SweepConfig(**{"study": name, "space": space, **changes})

    def run(self, config: SweepConfig, *tells: Tell, storage: str | None = None) -> list[float]:
        """Ask for a trial for each way to tell its end; the rates they got."""
        opened = open_study(config, self.paths, storage)
        opened.optuna.sampler = Kinds(config, 100, opened.earlier).sampler
        rates = []
        for tell in tells:
            trial = opened.optuna.ask()
            asked = config.search_space.suggest(trial, config.train)
            rates.append(asked.lr)
            tell(opened.optuna, trial, abs(math.log10(asked.lr) + 2.3) + abs(asked.gamma - 0.5))
        opened.lease.release()
        return rates

    def trials(self, config: SweepConfig) -> list[FrozenTrial]:
        """What the study has."""
        return open_study(config, self.paths).optuna.get_trials()

    def read(self, config: SweepConfig) -> Earlier:
        """What the study that it starts from can teach it."""
        return read_earlier(config, self.paths)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty one."""
    return Folder(tmp_path)


def test_trials_of_every_ending_are_read(folder: Folder) -> None:
    """Those that failed are left out; what diverged has its constraint, and no value."""
    config = folder.config("old")
    folder.run(config, complete, pruned, diverged, failed, penalized)
    old = folder.trials(config)
    earlier = folder.read(folder.config("new", warm_start="old"))
    read = {number: (it.state, it.value, it.constraints) for number, it in earlier.trials.items()}
    assert read == {
        0: (TrialState.COMPLETE, old[0].value, {}),
        1: (TrialState.PRUNED, old[1].value, {}),
        2: (TrialState.PRUNED, None, {"diverged": 1.0}),
        4: (TrialState.PRUNED, None, {"diverged": 1.0}),
    }
    assert earlier.trials[1].intermediate_values == old[1].intermediate_values
    for number, trial in earlier.trials.items():
        assert trial.params == pytest.approx(old[number].params)
        assert trial.distributions == old[number].distributions
        assert trial.number == -1
    assert "learns from 4 trials of study old, and not from 1 other" in earlier.note
    assert "trial 3: it failed" in earlier.note


def test_a_sampler_of_complete_trials_reads_those_alone(folder: Folder) -> None:
    """Among them is one that diverged, with the value that stands for that."""
    folder.run(folder.config("old"), complete, pruned, diverged, penalized)
    earlier = folder.read(folder.config("new", warm_start="old", sampler="GPSampler"))
    assert [*earlier.trials] == [0, 3]
    assert all(trial.state == TrialState.COMPLETE for trial in earlier.trials.values())
    assert all(trial.constraints == {} for trial in earlier.trials.values())
    assert earlier.trials[3].value == 2.3
    assert "GPSampler learns from complete ones only" in earlier.note


@pytest.mark.parametrize(("old", "new"), [(PLAIN, FEWER), (PLAIN, BRANCHED), (BRANCHED, PLAIN)])
def test_another_space_has_the_same_values(old: str, new: str, folder: Folder) -> None:
    """Each trial whose values can be here stands for the same config, whatever Optuna sees."""
    before, after = folder.config("old", old), folder.config("new", new, warm_start="old")
    folder.run(before, *[complete] * 12)
    earlier = folder.read(after)
    own = folder.config("own", new)
    folder.run(own, *[complete] * 12)
    suggested = {
        key: item for trial in folder.trials(own) for key, item in trial.distributions.items()
    }
    for trial in folder.trials(before):
        config = before.search_space.suggest(FixedTrial(trial.params), before.train)
        values = {name: config.values()[name] for name in ("optimizer", "lr", "gamma")}
        try:
            after.search_space.params(values, after.train)
        except ConfigError:
            assert trial.number not in earlier.trials
            continue
        read = earlier.trials[trial.number]
        again = after.search_space.suggest(FixedTrial(read.params), after.train)
        assert again == config
        assert read.distributions.items() <= suggested.items()
    assert 0 < len(earlier.trials) < 12


def test_what_was_the_same_for_all_trials_is_known_where_it_varies_now(folder: Folder) -> None:
    """A setting of the earlier study counts as its trials' value; what it had not stays open."""
    folder.run(folder.config("old", train=TrainConfig(batch_size=32)), complete, complete)
    for trial in folder.read(folder.config("new", MORE, warm_start="old")).trials.values():
        assert trial.params.keys() == {"optimizer", "lr_index", "gamma", "batch_size"}
        assert trial.params["batch_size"] == 32
    with pytest.raises(StudyMismatch, match="it has no weight_decay, which GPSampler must know"):
        folder.read(folder.config("new", MORE, warm_start="old", sampler="GPSampler"))
    folder.run(folder.config("odd", train=TrainConfig(batch_size=48)), complete)
    with pytest.raises(StudyMismatch, match="batch_size must be one of 32, 64, but got 48"):
        folder.read(folder.config("new", MORE, warm_start="odd"))


def test_a_space_that_is_a_function_takes_trials_with_its_own_parameters(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with values out of its ranges are left out, and its own teach no other space."""
    monkeypatch.syspath_prepend(folder.root)
    for name, most in (("wide", -1), ("narrow", -3)):
        (folder.root / f"own_{name}.py").write_text(
            "def suggest(trial):\n"
            f"    return {{'lr': 10.0 ** trial.suggest_int('power', -5, {most})}}\n"
        )
    rates = folder.run(folder.config("wide", "own_wide:suggest"), *[complete] * 8)
    narrow = folder.config("narrow", "own_narrow:suggest", warm_start="wide")
    earlier = folder.read(narrow)
    fitting = [number for number, lr in enumerate(rates) if lr < 2e-3]
    assert [*earlier.trials] == fitting
    assert 0 < len(fitting) < 8
    folder.run(narrow, complete)
    (own,) = folder.trials(narrow)
    assert all(trial.distributions == own.distributions for trial in earlier.trials.values())
    with pytest.raises(StudyMismatch, match="power"):
        folder.read(folder.config("new", warm_start="wide"))


def test_which_trials_count_is_settled_at_the_first_start(folder: Folder) -> None:
    """Though the earlier study grew, or was set aside, a later start suggests the same."""
    old = folder.config("old")
    folder.run(old, *[complete] * 12, failed)
    expected = folder.run(folder.config("straight", warm_start="old"), *[complete] * 3)
    assert expected != folder.run(folder.config("cold"), *[complete] * 3)
    new = folder.config("new", warm_start="old")
    got = folder.run(new, complete)
    folder.run(old, *[complete] * 5)
    got += folder.run(new, complete)
    folder.run(folder.config("old", fresh=True), complete)
    opened = open_study(new, folder.paths)
    assert opened.optuna.user_attrs[LEARNS_FROM]["trials"] == list(range(12))
    assert opened.earlier.note == "The sampler learns from 12 trials of study old."
    assert len(opened.optuna.get_trials()) == 2
    opened.lease.release()
    got += folder.run(new, complete)
    assert got == expected


def test_both_studies_can_be_in_a_storage_of_optunas(folder: Folder) -> None:
    """The earlier one is looked for there, and not among the journals."""
    url = f"sqlite:///{folder.root}/optuna.db"
    folder.run(folder.config("journal"), complete)
    folder.run(folder.config("old"), complete, storage=url)
    opened = open_study(folder.config("new", warm_start="old"), folder.paths, url)
    assert opened.earlier.note == "The sampler learns from 1 trial of study old."
    with pytest.raises(UnknownStudy, match="'journal'"):
        open_study(folder.config("newer", warm_start="journal"), folder.paths, url)


def test_a_study_that_was_set_aside_can_be_learned_from(folder: Folder) -> None:
    """By the name that it has since then."""
    folder.run(folder.config("old"), complete, complete)
    aside = open_study(folder.config("old", fresh=True), folder.paths).set_aside
    assert aside is not None
    assert len(folder.read(folder.config("new", warm_start=aside[0])).trials) == 2


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"warm_start": "odl"}, UnknownStudy, ["'odl'", "'old'"]),
        ({"warm_start": "empty"}, StudyMismatch, ["'empty'", "none has ended"]),
        ({"warm_start": "gone"}, StudyMismatch, ["none: the first, trial 0: it failed"]),
        ({"objective": "val_accuracy"}, StudyMismatch, ["val_accuracy", "'old'", "val_loss"]),
        ({"second": "seconds"}, StudyMismatch, ["val_loss,seconds", "'old'"]),
    ],
)
def test_a_study_that_cannot_be_learned_from_is_named(
    changes: dict[str, Any], error: type[Exception], words: list[str], folder: Folder
) -> None:
    """One line says why, and no study was begun."""
    folder.run(folder.config("old"), complete)
    folder.run(folder.config("empty"))
    folder.run(folder.config("gone"), failed)
    config = folder.config("new", **{"warm_start": "old", **changes})
    with pytest.raises(error) as caught:
        open_study(config, folder.paths)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)
    assert folder.trials(folder.config("new")) == []


def test_where_there_is_no_study_at_all_that_is_said(folder: Folder) -> None:
    """And no file is made for one."""
    with pytest.raises(UnknownStudy, match="none is"):
        open_study(folder.config("new", warm_start="old"), folder.paths)
    assert not folder.paths.journal("old").exists()


def test_a_study_that_went_for_good_is_missed(folder: Folder) -> None:
    """Another one of its name is not taken for it."""
    folder.run(folder.config("old"), complete)
    new = folder.config("new", warm_start="old")
    folder.run(new, complete)
    folder.paths.journal("old").unlink()
    folder.run(folder.config("old"), complete)
    with pytest.raises(UnknownStudy, match="began to learn from"):
        folder.run(new)


@pytest.mark.parametrize("sampler", ["RandomSampler", "QMCSampler", "CmaEsSampler"])
def test_samplers_that_cannot_learn_so_are_refused(sampler: str) -> None:
    """With those that can, and the reason."""
    able = "one of TPESampler, GPSampler or package.module:Class, as others learn from"
    with pytest.raises(ConfigError, match=f"{able} .*{sampler!r}"):
        check_sweep(SweepConfig(warm_start="old", sampler=sampler))


def test_a_warm_start_makes_another_study() -> None:
    """What was not given is no setting, so that studies from before keep their names."""
    assert "warm_start" not in SweepConfig().settings()
    warm = SweepConfig(warm_start="old")
    plain = SweepConfig(sampler="TPESampler")
    assert warm.settings() == plain.settings() | {"warm_start": "old"}
    assert warm.study_name != SweepConfig().study_name
    with pytest.raises(ConfigError, match="from another one"):
        check_sweep(SweepConfig(study="old", warm_start="old"))
