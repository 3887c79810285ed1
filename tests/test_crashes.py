"""`make test-crash`: sweeps killed at random moments, as many as CRASHES says."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from processes import finish, start, sweep
from test_killed_suspended import command
from test_run import states, table

FIRST = int(os.environ.get("CRASH_SEED", "0"))
CRASHES = int(os.environ.get("CRASHES", "300"))

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def undisturbed(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory, sample: Path
) -> tuple[float, tuple[pd.DataFrame, pd.DataFrame]]:
    """The seconds that an undisturbed sweep takes, and its table."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_database, folder)
    assert sweep(folder, ["--help"]).status == 0  # imports, which later processes do not repeat
    begun = time.monotonic()
    ended = sweep(folder, command(sample))
    assert ended.status == 0, ended.output
    return time.monotonic() - begun, table(folder)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CRASHES))
def test_killed_at_a_random_moment_the_same_command_gives_the_same_table(
    seed: int,
    empty_database: Path,
    tmp_path: Path,
    sample: Path,
    undisturbed: tuple[float, tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    """SIGKILL of the process group; the seed draws the moment."""
    shutil.copy(empty_database, tmp_path)
    seconds, expected = undisturbed
    process = start(tmp_path, command(sample))
    process.join(random.Random(seed).uniform(0.2, 1.0) * seconds)
    if process.exitcode is not None:
        pytest.skip("the sweep ended before the moment of its kill")
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    assert finish(tmp_path, process).status == -signal.SIGKILL
    again = sweep(tmp_path, command(sample))
    assert again.status == 0, again.output
    for got, wanted in zip(table(tmp_path), expected, strict=True):
        pd.testing.assert_frame_equal(got, wanted)
    assert {"running", "suspended", "interrupted"}.isdisjoint(states(tmp_path))
