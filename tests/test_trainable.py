"""Training loops of the user's, swept: killed and resumed, shared, and refused."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import Ended, finish, start, sweep
from test_run import table

from trainer.errors import ConfigError
from trainer.killpoints import VARIABLE
from trainer.settings.config import TrainConfig
from trainer.stages.rehearsal import check_resumes, rehearse
from trainer.stages.stage import plan_from, train_stage
from trainer.stages.store import StageStore
from trainer.training.device import platform
from trainer.training.state import digest, foreign, restored, storable
from trainer.training.trainable import UserTrainable, find_trainable

NOWHERE = Path("nowhere")
WORDS = (
    "--study s --set start=1,2,4,8 --set step=0.1..0.9/0.1 --objective distance "
    "--direction minimize --epochs 4 --trials 6 --concurrent-trials 4 --search-seed 1 "
    "--device cpu --executor inline --no-promote"
)


def config(loop: str, epochs: int = 4, **values: object) -> TrainConfig:
    """A config of one of the loops in `loops`."""
    values = {"start": 4, "step": 0.5, **values}
    return TrainConfig(
        trainable=f"loops:{loop}", trainable_args=values, epochs=epochs, device="cpu"
    )


@pytest.fixture
def folder(empty_database: Path, tmp_path: Path) -> Path:
    """A working folder with an empty MLflow database."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


def test_epochs_one_by_one_equal_epochs_in_one_go(tmp_path: Path) -> None:
    """Each continues from the stored state of the one before, to the bit."""
    train = config("Walk")
    one, other = StageStore(tmp_path / "one"), StageStore(tmp_path / "other")
    for epoch in range(1, 5):
        separate = train_stage(train, epoch, one, NOWHERE, with_state=True).result
    straight = train_stage(train, 4, other, NOWHERE).result
    assert straight.values["distance"] == separate.values["distance"]
    assert straight.state_digest == separate.state_digest


def test_its_own_way_is_what_a_plain_loop_gives() -> None:
    """The only thing that is added is the seed of each epoch."""
    train = config("Walk")
    one, other = UserTrainable(train), UserTrainable(train)
    values = [one.train_epoch(epoch)["distance"] for epoch in (1, 2)]
    np.random.random(100)  # what others draw does not matter
    other.train_epoch(1)
    other.load_state_dict(other.state_dict())
    assert other.train_epoch(2)["distance"] == values[1]


def test_configs_share_the_epochs_in_which_the_same_values_act() -> None:
    """As `in_force` says; without it the whole config acts always."""

    def keys(loop: str, late: float) -> list[str]:
        planned = plan_from(NOWHERE, platform("cpu"), config(loop, late=late))
        return [stage.key for stage in planned.stages]

    same = [a == b for a, b in zip(keys("Later", 1), keys("Later", 2), strict=True)]
    assert same == [True, True, True, False, False]
    assert not {*keys("Walk", 1)} & {*keys("Walk", 2)}


@pytest.mark.slow
def test_a_killed_sweep_of_a_loop_is_resumed_to_the_same_table(
    folder: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In the middle of its epochs, and while a trial is told; to the bit."""
    words = ["--trainable", "loops:Walk", *WORDS.split()]
    ended = sweep(folder, words)
    assert ended.status == 0, ended.output
    other = tmp_path_factory.mktemp("other")
    shutil.copy(empty_database, other)
    for point in ("state-written@3", "epoch-reported@6", "trial-told@2"):
        killed = finish(other, start(other, words, **{VARIABLE: point}))
        assert killed.status == -signal.SIGKILL, killed.output
    resumed = sweep(other, words)
    assert resumed.status == 0, resumed.output
    for got, wanted in zip(table(other), table(folder), strict=True):
        pd.testing.assert_frame_equal(got, wanted)


@pytest.mark.slow
def test_a_sweep_reports_the_metrics_of_the_loop(folder: Path) -> None:
    """Also those that the built-in training measures once for a run."""
    ended = sweep(
        folder, ["--trainable", "loops:Later", "--set", "late=0.5,0.7,0.9", *WORDS.split()]
    )
    assert ended.status == 0, ended.output
    assert "the lowest distance of a trial's epochs wins" in ended.output
    trials, curves = table(folder)
    assert {"start", "step", "late", "best_distance"} <= {*trials}
    assert {"distance", "test_loss"} <= {*curves}
    assert trials["reused_epochs"].sum() == curves["reused"].sum()


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        ("Silent", "must return the objective 'distance', but returned way; --objective NAME"),
        ("Locked", r"state_dict of loops:Locked .*seen.places.0 \(builtins.set\) is none"),
        ("Unloadable", "load_state_dict of loops:Unloadable must take what .*KeyError: 'place'"),
        ("Forgetful", r"must be in state_dict\(\), but loops:Forgetful keep more"),
    ],
)
def test_a_loop_with_a_fault_is_refused_before_anything_is_trained(loop: str, message: str) -> None:
    """In one line that names the method and what was got."""
    with pytest.raises(ConfigError, match=message) as caught:
        check_resumes(config(loop), rehearse(config(loop), NOWHERE, objectives=["distance"]))
    assert "\n" not in str(caught.value)


def test_a_loop_that_is_not_pure_shows_in_its_rehearsal() -> None:
    """Then its trials share nothing."""
    assert not rehearse(config("Clock"), NOWHERE).repeats


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "status", "line"),
    [
        ("Clock", 0, "gives other bits in another process: trials of this study share no epochs."),
        ("Nan", 0, "diverged after 2 epochs"),
        ("Silent", 1, "error: train_epoch of loops:Silent must return the objective 'distance'"),
        ("Locked", 1, "error: state_dict of loops:Locked must hold tensors, arrays of numbers"),
        ("Unloadable", 1, "error: load_state_dict of loops:Unloadable must take what state_dict"),
    ],
)
def test_the_line_that_a_sweep_of_a_faulty_loop_gets(
    loop: str, status: int, line: str, folder: Path
) -> None:
    """And the exit status."""
    ended: Ended = sweep(folder, ["--trainable", f"loops:{loop}", *WORDS.split()])
    assert ended.status == status, ended.output
    assert line in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("loops:nothing", "loops"),
        ("brought:tiny", "trainable brought:tiny must be a class, but is <function tiny"),
        ("faulty:Unpicklable", "must have the methods train_epoch, state_dict, load_state_dict"),
    ],
)
def test_what_is_no_loop_is_refused(reference: str, message: str) -> None:
    """By what it lacks."""
    with pytest.raises(ConfigError, match=message):
        find_trainable(reference)


def test_fields_of_the_built_in_training_do_not_go_with_a_loop() -> None:
    """Their values would be without effect."""
    with pytest.raises(ConfigError, match=r"With trainable batch_size must be left out.*--set"):
        TrainConfig(trainable="loops:Walk", batch_size=32)


STATES: list[Callable[[], object]] = [
    lambda: np.arange(6, dtype=">i4").reshape(2, 3),
    lambda: np.float64(0.1),
    lambda: {"a": [np.zeros((0, 2)), "text", None, 3, {"b": (np.array(True),)}]},
]


@pytest.mark.parametrize("made", STATES)
def test_arrays_come_back_as_they_were(made: Callable[[], object]) -> None:
    """With type, shape and bits; torch alone would store them by pickle."""
    stored = storable({"it": made()})
    assert not [*foreign(stored)]
    back = restored(stored)
    assert repr(back) == repr({"it": made()})
    assert digest(storable(back)) == digest(stored)
