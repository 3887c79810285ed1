import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from fresh import begin
from samples import Said

from sweeps.engine.known import enqueue, known_points
from sweeps.engine.session import run_sweep
from sweeps.errors import UnknownStudy
from sweeps.report.compare.ranking import rank
from sweeps.report.reading.frames import load_study
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from sweeps.study.opening import open_study
from trainer.errors import ConfigError
from trainer.killpoints import VARIABLE
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths

Small = Callable[..., TrainConfig]
SPACE = (
    'optimizer = ["SGD", "Adam"]\nlr = { low = 1e-4, high = 0.1, grid = "1-2-5" }\nstep_size = 3\n'
)


@pytest.fixture
def view() -> Said:
    """What sweeps said."""
    return Said()


@pytest.fixture
def sweep(
    small: Small, view: Said, tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs a sweep in the test's folder, in this process; the study's frames."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)

    def run(study: str, epochs: int, trials: int, *points: str) -> Any:
        train = small(epochs=epochs, limit=20, batch_size=10)
        config = SweepConfig(
            train=train,
            space="space.toml",
            study=study,
            trials=trials,
            pruner="none",
            executor="inline",
            enqueue=points,
        )
        assert run_sweep(config, Places(tracking_uri=tracking_uri), view)
        return load_study(study, tracking_uri)

    return run


@pytest.mark.slow
def test_known_points_are_tried_first_and_once(
    sweep: Callable[..., Any], view: Said, tmp_path: Path
) -> None:
    """In their order, of every form; given again with more trials they are not tried again."""
    (tmp_path / "known.json").write_text('[{"optimizer": "Adam", "lr": 0.0005}, {"lr": 0.1}]')
    points = ("optimizer=SGD,lr=0.02", "known.json", "optimizer=SGD,lr=0.02")
    first = sweep("s", 1, 3, *points).trials
    assert list(first["lr"]) == [0.02, 0.0005, 0.1]
    assert list(first["optimizer"][:2]) == ["SGD", "Adam"]
    again = sweep("s", 1, 5, *points).trials
    assert again[["lr", "optimizer"]].iloc[:3].equals(first[["lr", "optimizer"]])
    more = sweep("s", 1, 6, *points, "optimizer=Adam,lr=0.1").trials
    assert tuple(more[["optimizer", "lr"]].iloc[5]) == ("Adam", 0.1)
    assert not any("enqueued" in line for line in view.lines)
    late = sweep("s", 1, 6, "optimizer=SGD,lr=0.1")
    assert late.asked == len(late.trials) == 7
    assert "With what was enqueued the study gets 7 trials." in view.lines


def test_a_table_of_trials_is_read_by_the_names_that_are_searched(
    small: Small, tmp_path: Path
) -> None:
    """As the report writes it: other columns and empty cells say nothing, and lines are known."""
    (tmp_path / "space.toml").write_text(SPACE + "betas = [[0.9, 0.99], [0.8, 0.9]]\n")
    table = tmp_path / "trials.csv"
    lines = ["trial,optimizer,lr,epochs,betas", "0,Adam,0.0005,20,", '1,,0.1,20,"[0.8, 0.9]"']
    table.write_text("\n".join(lines))
    space = str(tmp_path / "space.toml")
    config = SweepConfig(train=small(), space=space, enqueue=(str(table),))
    assert known_points(config, None) == [
        {"optimizer": "Adam", "lr_index": 2},
        {"lr_index": 9, "betas": "[0.8, 0.9]"},
    ]
    table.write_text("\n".join([*lines, "2,Adam,7,20,"]))
    with pytest.raises(ConfigError, match=r"trials.csv:4: lr must be .* got 7; the nearest is 0.1"):
        known_points(config, None)
    table.write_text("trial,model\n0,tutorial")
    with pytest.raises(ConfigError, match=r"csv:2: a point must have some of optimizer, lr"):
        known_points(config, None)


def killed_between(folder: Path, config: SweepConfig, points: list[dict[str, Any]]) -> None:
    """Enqueue points, and die as by `kill -9` when two of them are."""
    os.setsid()
    os.environ[VARIABLE] = "point-enqueued@2"
    enqueue(open_study(config, Paths(folder)).optuna, points)


def test_killed_between_two_points_each_is_still_tried_once(tmp_path: Path) -> None:
    """Those that were not enqueued yet are by the next start, in their order, and no other."""
    config = SweepConfig(study="s")
    points = [{"lr_index": place} for place in (3, 1, 4, 1, 5)]
    process = begin(tmp_path / "output.txt", killed_between, tmp_path, config, points)
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "output.txt").read_text()
    study = open_study(config, Paths(tmp_path)).optuna
    assert len(study.get_trials(states=[optuna.trial.TrialState.WAITING])) == 2
    assert [enqueue(study, points) for _ in range(2)] == [2, 0]
    given = [trial.system_attrs["fixed_params"]["lr_index"] for trial in study.get_trials()]
    assert given == [3, 1, 4, 5]


@pytest.mark.slow
def test_the_best_of_a_study_train_only_what_is_new(sweep: Callable[..., Any]) -> None:
    """The top 5 of a study of 2 epochs, enqueued in one of 4, train epochs 3 and 4 alone."""
    short = sweep("short", 2, 8)
    long = sweep("long", 4, 5, "study:short:top=5")
    best = rank(short).head(5)
    assert list(zip(long.trials["optimizer"], long.trials["lr"], strict=True)) == list(
        zip(best["optimizer"], best["lr"], strict=True)
    )
    assert (long.trials["epochs"] == 4).all()
    trained = long.curves[~long.curves["reused"]]
    assert set(trained["epoch"]) <= {3, 4}
    assert long.curves[long.curves["epoch"] <= 2]["reused"].all()
    assert len(trained)


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        (["lr=0.03"], ConfigError, "--enqueue lr=0.03: "),
        (["lr=7"], ConfigError, "0.1"),
        (["momentm=1"], ConfigError, "Unknown name in the space 'momentm'"),
        (["optimizer=Adm"], ConfigError, "Adam"),
        (["nowhere.json"], ConfigError, "must be NAME=VALUE,..., a .csv file"),
        (["nowhere.csv"], ConfigError, "No such file"),
        (["study:nowhere:top=0"], ConfigError, "study:NAME:top=K"),
        (["study:nowhere:top=3"], UnknownStudy, "no study yet"),
        (["lr=0.1", "lr=0.01"], ConfigError, "trials must be at least 2"),
    ],
)
def test_points_that_cannot_be_are_refused(
    points: list[str],
    error: type[Exception],
    message: str,
    small: Small,
    tmp_path: Path,
    tracking_uri: str,
) -> None:
    """Before anything is trained, with the point and what may be."""
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    config = SweepConfig(train=small(), space=str(space), trials=1)
    with pytest.raises(error) as caught:
        known_points(replace(config, enqueue=tuple(points)), tracking_uri)
    assert message in str(caught.value)
