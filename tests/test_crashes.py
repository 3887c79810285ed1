"""`make test-crash`: commands killed at every kill point and at random moments, as many as CRASHES.

Each test prints what its seed draws, and appends its kills to the table CRASH_TABLE.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from crashes import COMMANDS, Bench, assert_same, case_of, found, run_case, write_rows

from trainer.killpoints import KILL_POINTS

FIRST = int(os.environ.get("CRASH_SEED", "0"))
CRASHES = int(os.environ.get("CRASHES", "300"))
TABLE = Path(os.environ.get("CRASH_TABLE", "crashes.csv")).absolute()

Undisturbed = Callable[[str, int], tuple[float, dict[str, pd.DataFrame]]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, sample: Path) -> Bench:
    """The folder in which all is tried."""
    return Bench(tmp_path_factory.mktemp("crashes"), empty_database, sample)


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> Undisturbed:
    """The CPU time of an undisturbed command and what it leaves; the latter without workers."""
    return cache(bench.undisturbed)


def test_every_kill_point_is_passed_by_one_of_the_commands() -> None:
    """So that a long run kills at each of them."""
    assert {point for it in COMMANDS.values() for point in it.points} == {*KILL_POINTS}


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + CRASHES))
def test_killed_anywhere_the_same_command_leaves_what_an_undisturbed_one_does(
    seed: int, bench: Bench, undisturbed: Undisturbed
) -> None:
    """In MLflow, Optuna and the stage store, to the bit, with 1, 2 or 4 workers or none."""
    case = case_of(seed)
    print(f"{case}\nto repeat it: make test-crash CRASHES=1 CRASH_SEED={seed}", flush=True)
    seconds, _ = undisturbed(case.command, case.workers)
    _, wanted = undisturbed(case.command, 0)
    hits: list[bool] = []
    result = "FAILED"
    try:
        hits = run_case(bench, case, seconds)
        assert_same(found(bench.folder), wanted, strict=case.is_strict)
        result = "same"
    finally:
        write_rows(TABLE, case, hits, result)
