"""`python -m sweeps.run` with trials that are suspended, killed wherever it can be."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from processes import sweep
from test_run import ELSEWHERE, states, table

from trainer.killpoints import KILL_POINTS, VARIABLE

pytestmark = pytest.mark.slow

TRIALS = 6
EPOCHS = 4
PLACES = [  # in an order in which each is still to come when those before it were passed
    ["state-written@3", "result-written@3", "epoch-reported@4"],
    ["trial-asked@3", "trial-suggested@3", "epochs-granted@3"],
    ["study-closed@1", "trial-decided@2", "trial-told@2"],
    ["run-created@2", "dataset-logged@2", "files-logged@2", "numbers-logged@7"],
    ["tags-set@2", "checkpoint-logged@2", "run-ended@2"],
    ["record-appended@30", "states-kept@3"],
]


def command(sample: Path, *more: str) -> list[str]:
    """A sweep that suspends trials, takes some up again, and has more epochs than it trains."""
    words = (
        f"--trials {TRIALS} --epochs {EPOCHS} --dataset {sample} --limit 20 --batch-size 10 "
        "--device cpu --executor inline --search-seed 1"
    )
    return [*words.split(), *more]


@pytest.fixture
def folder(empty_database: Path, tmp_path: Path) -> Path:
    """A working folder with an empty MLflow database."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


COMPARED = f"--compare optimizer --repeats 1 --space {Path(__file__).parent}/sample/compared.toml"


@pytest.fixture(
    scope="module", params=["--pruner FrugalPruner", "--pruner PromotionPruner", COMPARED]
)
def undisturbed(
    request: pytest.FixtureRequest,
    empty_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sample: Path,
) -> tuple[list[str], tuple[pd.DataFrame, pd.DataFrame]]:
    """A command, and the table of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_database, folder)
    words = command(sample, *request.param.split())
    ended = sweep(folder, words)
    assert ended.status == 0, ended.output
    assert "suspended after" in ended.output
    assert "resumes, to epoch" in ended.output
    return words, table(folder)


def test_every_kill_point_is_tried() -> None:
    """All but those that have tests of their own."""
    tried = [place.partition("@")[0] for places in PLACES for place in places]
    elsewhere = [place for place in ELSEWHERE if place not in tried]
    assert sorted([*tried, *elsewhere]) == sorted(KILL_POINTS)


@pytest.mark.parametrize("places", PLACES, ids=" ".join)
def test_killed_between_any_two_writes_the_same_command_gives_the_same_table(
    places: Sequence[str],
    folder: Path,
    undisturbed: tuple[list[str], tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    """Kill -9, in each of these places in turn, with trials suspended: bit for bit."""
    words, expected = undisturbed
    for place in places:
        killed = sweep(folder, words, **{VARIABLE: place})
        assert killed.status == -signal.SIGKILL, f"{place}: {killed.output}"
    again = sweep(folder, words)
    assert again.status == 0, again.output
    for got, wanted in zip(table(folder), expected, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    assert {"running", "suspended", "interrupted"}.isdisjoint(states(folder))


def test_a_killed_sweep_of_two_workers_gives_the_table_of_one(
    folder: Path, undisturbed: tuple[list[str], tuple[pd.DataFrame, pd.DataFrame]]
) -> None:
    """To the bit, but for which of the trials that share an epoch was the first to need it."""
    words, expected = undisturbed
    words = [*words, "--executor", "local", "--workers", "2"]
    killed = sweep(folder, words, **{VARIABLE: "epoch-reported@5"})
    assert killed.status == -signal.SIGKILL, killed.output
    again = sweep(folder, words)
    assert again.status == 0, again.output
    first = ["trained_epochs", "reused_epochs", "retrained_epochs", "reused"]
    for got, wanted in zip(table(folder), expected, strict=True):
        pd.testing.assert_frame_equal(
            got.drop(columns=first, errors="ignore"), wanted.drop(columns=first, errors="ignore")
        )
    assert {"running", "suspended", "interrupted"}.isdisjoint(states(folder))
