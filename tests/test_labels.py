"""Tags and description of a study, on every run of it in MLflow."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import processes
import pytest

from sweeps.engine.library import sweep
from sweeps.engine.repeats import confirm
from sweeps.engine.view import open_view
from sweeps.report.showing import open_console
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import ConfirmConfig, Places
from sweeps.settings.labels import parse_tags
from trainer.errors import ConfigError
from trainer.killpoints import VARIABLE
from trainer.settings.config import TrainConfig
from trainer.tracking.connection import connect, search_runs
from trainer.tracking.names import CONFIRMS_TAG, STUDIES_EXPERIMENT, TRIAL_TAG

Run = tuple[dict[str, str], dict[str, str]]


@pytest.fixture
def places(tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Places(tracking_uri=tracking_uri)


def runs_in(uri: str) -> dict[str, Run]:
    """Tags and parameters of every run of the studies, by its name."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(STUDIES_EXPERIMENT)
    assert experiment is not None
    runs = search_runs(client, experiment.experiment_id, "")
    return {run.info.run_name: (run.data.tags, run.data.params) for run in runs}


@pytest.mark.slow
def test_every_run_of_a_study_has_its_tags(
    small: Callable[..., TrainConfig], places: Places, tracking_uri: str
) -> None:
    """Its own, its trials' and its repeats'; they last, and a later start adds to those that are
    there and trains nothing for it.
    """
    config = SweepConfig(
        train=small(limit=20, epochs=2),
        trials=2,
        executor="inline",
        study="s",
        tags={"team": "vision", "build": 12},
        description="Which *rate*?",
    )
    first = sweep(config, places, progress=False)
    with open_view(open_console()) as view:
        confirm(ConfirmConfig(study="s", top=1, repeats=1, executor="inline"), places, view)
    runs = runs_in(tracking_uri)
    assert len(runs) == 4
    assert sum(CONFIRMS_TAG in tags for tags, _ in runs.values()) == 1
    for tags, _ in runs.values():
        assert (tags["team"], tags["build"]) == ("vision", "12")
    assert runs["s"][0]["mlflow.note.content"].startswith("Which *rate*?\n\n**2 of 2 trials**")

    plain = SweepConfig(train=config.train, trials=3, executor="inline", study="s")
    sweep(plain, places, progress=False)
    again = sweep(replace(plain, tags={"build": "13"}), places, progress=False)
    runs = runs_in(tracking_uri)
    assert sum(TRIAL_TAG in tags for tags, _ in runs.values()) == 3
    for tags, _ in runs.values():
        assert (tags["team"], tags["build"]) == ("vision", "13")
    assert runs["s"][0]["mlflow.note.content"].startswith("Which *rate*?\n\n**3 of 3 trials**")
    assert list(again.curves["ended_at"][:2]) == list(first.curves["ended_at"][:2])


@pytest.mark.slow
def test_killed_while_old_runs_get_a_tag_the_same_command_sets_it(
    sample: Path, places: Places, tracking_uri: str, tmp_path: Path
) -> None:
    """On all of them."""
    words = f"--trials 2 --epochs 1 --dataset {sample} --limit 20 --device cpu --study s".split()
    words += ["--executor", "inline"]
    assert processes.sweep(tmp_path, words).status == 0
    words += ["--tag", "team=vision"]
    killed = processes.sweep(tmp_path, words, **{VARIABLE: "run-tagged@2"})
    assert killed.status == -signal.SIGKILL
    assert sorted("team" in tags for tags, _ in runs_in(tracking_uri).values()) == [0, 1, 1]
    assert processes.sweep(tmp_path, words).status == 0
    assert [tags["team"] for tags, _ in runs_in(tracking_uri).values()] == ["vision"] * 3


@pytest.mark.slow
def test_the_settings_of_a_study_are_parameters_of_its_run(
    small: Callable[..., TrainConfig], places: Places, tracking_uri: str
) -> None:
    """As MLflow's search and its table of runs need them; a later start has the same."""
    config = SweepConfig(
        train=small(limit=20, epochs=2),
        trials=1,
        executor="inline",
        study="s",
        space={"optimizer": "SGD", "lr": [0.1, 0.2], "momentum": [0.0, 0.9]},
        sampler="TPESampler",
        sampler_args={"n_startup_trials": 3},
        patience=1,
    )
    sweep(config, places, progress=False)
    _, params = runs_in(tracking_uri)["s"]
    assert params["sampler"] == "TPESampler"
    assert params["sampler_args.n_startup_trials"] == "3"
    assert params["epochs"] == "2"
    assert params["patience"] == "1"
    assert params["space.lr"] == "[0.1, 0.2]"
    assert params["space.momentum"] == "[0.0, 0.9]"
    assert "image_size" not in params
    assert "tags" not in params
    sweep(replace(config, trials=2), places, progress=False)
    assert runs_in(tracking_uri)["s"][1] == params


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"sweep.state": "x"}, ["sweep.", "mlflow.", "git.", "'sweep.state'"]),
        ({"mlflow.note.content": "x"}, ["must not begin with", "'mlflow.note.content'"]),
        ({"": "x"}, ["key of a tag", "1 to 250", "''"]),
        ({"größe": "x"}, ["key of a tag", "letters", "'größe'"]),
        ({"a//b": "x"}, ["key of a tag", "'a//b'"]),
        ({"team": ["a"]}, ["tag team", "text", "['a']"]),
        ({"team": "x" * 8001}, ["tag team", "8,000 characters"]),
        ("team=vision", ["tags must be", "'team=vision'"]),
    ],
)
def test_tags_that_mlflow_or_the_sweep_would_not_take_are_refused(
    tags: object, expected: list[str]
) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError) as caught:
        SweepConfig(tags=tags)
    assert all(word in str(caught.value) for word in expected), caught.value


def test_tags_on_the_command_line_are_texts() -> None:
    """A number with leading zeros stays as it is, and a value may contain the sign."""
    assert parse_tags(["run=0012", " team = a=b"]) == {"run": "0012", "team": " a=b"}
    with pytest.raises(ConfigError, match="--tag must be KEY=VALUE, but got 'team'"):
        parse_tags(["team"])


def test_tags_and_description_do_not_name_a_study() -> None:
    """They change no trial."""
    name = SweepConfig().study_name
    assert SweepConfig(tags={"team": "vision"}, description="Which rate?").study_name == name
