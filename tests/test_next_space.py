"""The space to search next is a file that runs, with the settings that the study had."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from studies import START, WIDE, child, frames_of, parent, tracker_in, trained

import sweeps.run
from sweeps.errors import SweepError
from sweeps.report.__main__ import main
from sweeps.report.next_space import NextSpace, next_space
from sweeps.report.page import to_page
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.render import markdown
from sweeps.report.summary import summarize
from sweeps.settings.config import SweepConfig
from sweeps.space.file import parse_space
from trainer.settings.config import TrainConfig
from trainer.tracking.record import COMPLETE

FILE = Path("next.toml")


def study(config: SweepConfig, *trials: Any) -> StudyFrames:
    """A study of these settings, as MLflow shows it."""
    settings = json.loads(json.dumps(config.settings()))
    return replace(frames_of(*trials), settings=settings)


def steady(value: float, **params: Any) -> tuple[str, list[float], dict[str, Any]]:
    """A trial whose best epoch is in the middle."""
    return ("complete", [value + 1, value, value + 2], params)


def words(made: NextSpace) -> dict[str, Any]:
    """The command's flags, as the command takes them."""
    python, module, name, *rest = shlex.split(made.command)
    assert [python, module, name] == ["python", "-m", "sweeps.run"]
    return typer.main.get_command(sweeps.run.app).make_context(name, rest).params


def lines(made: NextSpace) -> list[str]:
    """What the file says, without comments."""
    return [line for line in made.text.splitlines() if line and not line.startswith("#")]


def test_all_that_is_advised_is_in_the_file() -> None:
    """A rate of its own for an optimizer; what is not changed stays, up to the sweep's epochs."""
    trials = [steady(1.0, lr=0.0001, gamma=0.9), *[("diverged", [9.0], {"lr": 0.05})] * 2]
    space = parse_space(WIDE, "wide.toml").describe(TrainConfig())
    settings = SweepConfig().settings() | {"space": space}
    made = next_space(replace(frames_of(*trials), settings=settings), FILE)
    assert lines(made) == [
        'optimizer = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]',
        'lr = { low = 0.0001, high = 1.0, grid = "1-2-5" }',
        'step_size = { low = 1, high = "epochs" }',
        "gamma = { low = 0.1, high = 1.0, step = 0.1 }",
        "[when.optimizer.SGD]",
        'lr = { low = 1e-05, high = 0.02, grid = "1-2-5" }',
    ]
    assert [item.seen.split()[0] for item in made.applied] == ["The", "The", "SGD"]
    assert made.refused == ()
    head = made.text.partition("\n\n")[0]
    assert "# The space of study digits, changed as its 3 trials advise:" in head
    assert f"#   {made.command}" in head


def test_the_command_has_the_settings_of_the_study() -> None:
    """Data, epochs, arguments, objective, pruner and number of trials; and what is advised."""
    train = TrainConfig(
        dataset="digits",
        epochs=3,
        limit=100,
        shuffle=False,
        normalize=True,
        scheduler="CosineAnnealingLR",
        scheduler_args={"T_max": 7},
        lr=0.5,
    )
    space = 'optimizer = ["SGD", "Adam"]\nbatch_size = [32, 64]'
    config = SweepConfig(
        train=train,
        objective="val_loss",
        second="seconds",
        sampler="RandomSampler",
        search_seed=7,
    )
    settings = config.settings() | {"space": parse_space(space, "s").describe(train), "lr": 0.5}
    trials = [("complete", [3.0, 2.0, 1.0], {"batch_size": 32 + 32 * n, "lr": 0.5}) for n in (0, 1)]
    frames = replace(frames_of(*trials), settings=settings)
    named = replace(frames, tracking_uri="sqlite:///x.db")
    made = next_space(named, Path("a folder/next.toml"))
    given = words(made)
    for name, value in {
        "space": "a folder/next.toml",
        "dataset": "digits",
        "epochs": 6,
        "limit": 100,
        "shuffle": False,
        "normalize": True,
        "scheduler": "CosineAnnealingLR",
        "objective": "val_loss,seconds",
        "sampler": "RandomSampler",
        "search_seed": 7,
        "trials": 4,
        "tracking_uri": "sqlite:///x.db",
        "seed": None,
    }.items():
        assert given[name] == value, name
    assert [*given["settings"]] == ["scheduler.T_max=7"]
    assert [*given["enqueue"]] == ["study:digits:top=2"]
    assert lines(made) == ['optimizer = ["SGD", "Adam"]', "batch_size = [16, 32, 64]", "lr = 0.5"]


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, "--dataset digits --epochs 6 --trials 4 --enqueue study:digits:top=2"),
        (
            {"sampler": "TPESampler", "search_seed": 3, "sampler_args": {"n_startup_trials": 5}},
            "--dataset digits --epochs 6 --sampler TPESampler --search-seed 3 --trials 4 "
            "--enqueue study:digits:top=2 --sampler-arg n_startup_trials=5",
        ),
        (
            {"patience": 4},
            "--dataset digits --epochs 6 --patience 4 --trials 4 --enqueue study:digits:top=2",
        ),
        (
            {"compare": "optimizer"},
            "--dataset digits --epochs 6 --compare optimizer --trials 4 "
            "--enqueue study:digits:top=2",
        ),
        (
            {"space": "examples.own_space:suggest"},
            "--space examples.own_space:suggest --dataset digits --epochs 6 --trials 2",
        ),
    ],
    ids=["default", "sampler", "patience", "compare", "function"],
)
def test_flags_that_are_advised_are_a_command_with_the_settings_of_the_study(
    changes: dict[str, Any], flags: str
) -> None:
    """Those that are not the default; it would begin the study with what is advised."""
    config = SweepConfig(train=TrainConfig(dataset="digits", epochs=3), trials=2, **changes)
    frames = study(config, *[("complete", [3.0, 2.0, 1.0], {})] * 2)
    frames = replace(frames, compare=config.compare)
    (command,) = [it.command for it in summarize(frames).advice if "--epochs" in it.flags]
    assert command == f"python -m sweeps.run {flags}"
    given = typer.main.get_command(sweeps.run.app).make_context("run", flags.split()).params
    same = {name: given[name] for name in changes if name != "sampler_args"}
    assert same == {name: it for name, it in changes.items() if name != "sampler_args"}


def test_flags_that_are_advised_on_a_file_of_ones_own_come_with_the_file() -> None:
    """Of which only the content is known: the command writes it, and prints how to search it."""
    frames = study(SweepConfig(space="examples/space.toml"), ("complete", [3.0, 2.0, 1.0], {}))
    advice = summarize(frames).advice
    assert {it.command for it in advice if it.flags} == {
        "python -m sweeps.report --study digits --next next.toml"
    }


@pytest.mark.slow
def test_what_a_study_cannot_have_is_not_advised() -> None:
    """Neither a comparison by two objectives, nor known points of a function."""
    best = [("pruned", [2.0, 1 + n / 9], {"optimizer": "AdamW"}) for n in range(9)]
    trials = [steady(0.5, optimizer="AdamW"), *best, ("pruned", [5.0], {})]
    for changes in ({"second": "seconds"}, {"space": "examples.own_space:suggest"}):
        frames = replace(study(SweepConfig(**changes), *trials), second=changes.get("second", ""))
        (item,) = [it for it in summarize(frames).advice if "unequal budgets" in it.seen]
        assert (item.flags, item.lines) == ({}, [])
        for text in (markdown(summarize(frames)), to_page(frames)):
            assert "--compare" not in text


def test_known_points_that_the_new_space_lacks_are_not_enqueued() -> None:
    """A sweep would refuse to start with them."""
    best = [("complete", [3.0, 2.0, 1.0 + n / 9], {"optimizer": "Adam"}) for n in range(10)]
    others = [("complete", [5.0, 5.0, 4.0 + n / 9], {"lr": 0.05}) for n in range(5)]
    lost = [("diverged", [9.0], {"optimizer": "Adam", "lr": lr}) for lr in (0.02, 0.05)]
    space = SweepConfig().settings()["space"] | {"optimizer": ["SGD", "Adam"], "gamma": [0.1, 0.2]}
    settings = SweepConfig(train=TrainConfig(epochs=3)).settings()
    fits = replace(frames_of(*best, *others, *lost), settings=settings | {"space": space})
    assert [*words(next_space(fits, FILE))["enqueue"]] == ["study:digits:top=5"]
    params = {"optimizer": "Adam", "lr": 0.3}
    odd = [("complete", [3.0, 2.0, 1.5], params), *best[:1], *others]
    lacks = replace(frames_of(*odd), settings=settings | {"space": space})
    made = next_space(lacks, FILE)
    assert words(made)["epochs"] == 6
    assert not words(made)["enqueue"]


def test_what_could_not_be_trained_is_left_out_and_said() -> None:
    """The file runs all the same."""
    space = SweepConfig().settings()["space"] | {"optimizer": ["SGD"], "seed": [1, 2**40]}
    trials = [steady(2.0 - n, seed=seed, gamma=0.5) for n, seed in enumerate(space["seed"])]
    frames = replace(frames_of(*trials), settings=SweepConfig().settings() | {"space": space})
    made = next_space(frames, FILE)
    ((item, reason),) = made.refused
    assert "The winner's seed" in item.seen
    assert "seed must be below 2**64" in reason
    assert made.applied == ()


def test_a_space_that_is_a_function_is_no_file() -> None:
    """One line says so; nothing is written."""
    config = SweepConfig(space="examples.own_space:suggest")
    with pytest.raises(SweepError, match=r"must be a file, but is the Python function"):
        next_space(study(config, steady(1.0)), FILE)
    with pytest.raises(SweepError, match="The space of study digits must be in MLflow"):
        next_space(frames_of(steady(1.0)), FILE)


@pytest.mark.parametrize("name", ["own_model.toml", "own_optimizer.toml", "space.toml"])
def test_spaces_with_code_of_ones_own_are_written_too(name: str) -> None:
    """With all their tables."""
    config = SweepConfig(space=f"examples/{name}")
    made = next_space(study(config), FILE)
    assert parse_space("\n".join(lines(made)), name).describe(TrainConfig()) == (
        config.search_space.describe(config.train)
    )
    assert "#   no change" in made.text


def test_the_command_writes_a_file_and_prints_a_command_that_runs(
    small: Callable[..., TrainConfig],
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From MLflow to the next sweep, which says what it would train."""
    monkeypatch.chdir(tmp_path)
    config = SweepConfig(train=small(), executor="inline")
    uri, tracker = tracker_in(tmp_path, empty_database)
    record = parent("first", "first", START, asked=2)
    tracker.sync(replace(record, files={"study.json": json.dumps(config.settings())}))
    for number, lr in enumerate((0.001, 0.01)):
        run = trained(child(record, number, small(lr=lr)), 3.0, 2.0 + number, 1.0 + number)
        tracker.sync(run.ended(COMPLETE, "val_loss", {}, at=START + 100))
    assert main(["--next", "next.toml", "--tracking-uri", uri]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("wrote next.toml (")
    assert said[1].startswith("changed: The winner's lr, 0.001, is the lowest")
    assert said[-2] == "Search it:"
    assert {path.name for path in tmp_path.iterdir()} >= {"next.toml"}
    assert not list(tmp_path.glob(".next*"))
    words = shlex.split(said[-1])[3:]
    assert sweeps.run.main([*words, "--dry-run", "--stages", "stages"]) == 0
    for wrong in (["--next", "next"], ["--next", "n.toml", "--format", "html"]):
        assert main([*wrong, "--tracking-uri", uri]) == 1
        assert capsys.readouterr().err.startswith("error: --next must ")
