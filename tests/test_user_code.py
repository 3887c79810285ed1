"""Code of users that ends or harms its process: what becomes of its trials, and of the others."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import faulty
import pandas as pd
import pytest
from processes import sweep
from test_executors import gone

from sweeps.engine.executors import LocalExecutor
from sweeps.engine.user_code import TRIES, UserCode
from sweeps.report.reading.frames import load_study
from trainer.errors import CodeFailed, ConfigError

LIMIT = 10.0
CODE = ("faulty:net",)
BRIEF = ("exits", "changes", "forks")
EVERY = tuple(faulty.BY_NAME)
SPACE = """
model = {models}
[when.model."brought:tiny"]
lr = [0.1, 0.05, 0.02]
"""
FAULTS = """
[when.model."faulty:net"]
"model.fault" = {faults}
"model.where" = ["made", "trained"]
"""


@pytest.fixture(scope="module")
def code() -> Iterator[UserCode]:
    """A process for user code, with a short time limit."""
    made = UserCode(partial(LocalExecutor, 1), LIMIT)
    made.start()
    yield made
    made.close()


def test_a_call_gives_its_result_or_its_error(code: UserCode) -> None:
    """From one process, which stays."""
    first = code(CODE, os.getpid)
    assert first != os.getpid()
    with pytest.raises(ConfigError, match=r"^not this$"):
        code(CODE, faulty.refuse)
    with pytest.raises(CodeFailed, match=r"(?s)Traceback.*it cannot be made again"):
        code(CODE, faulty.raises)
    assert code(CODE, os.getpid) == first


def test_a_process_that_was_killed_by_chance_is_started_anew(
    code: UserCode, tmp_path: Path
) -> None:
    """The call is made again in another one."""
    first = code(CODE, os.getpid)
    assert code(CODE, faulty.die_once, tmp_path / "mark") not in (first, os.getpid())


def test_code_that_ends_its_process_fails_and_is_not_tried_for_ever(
    code: UserCode, tmp_path: Path
) -> None:
    """The same call fails at once the next time."""
    mark = tmp_path / "mark"
    for _ in range(2):
        with pytest.raises(CodeFailed, match="faulty:net must leave its process running, but 2"):
            code(CODE, faulty.count, mark)
    assert len(mark.read_text()) == TRIES


@pytest.mark.slow
def test_code_that_never_returns_is_ended(code: UserCode, tmp_path: Path) -> None:
    """After the time limit, with its process; the next call has another."""
    mark = tmp_path / "mark"
    with pytest.raises(CodeFailed, match=r"faulty:net must return within 10 s \(--epoch-timeout\)"):
        code(CODE, faulty.wait, mark)
    assert gone(int(mark.read_text()))
    assert code(CODE, os.getpid) != int(mark.read_text())


@pytest.fixture
def swept(
    sample: Path, empty_database: Path, tmp_path: Path
) -> Callable[..., tuple[pd.DataFrame, str]]:
    """Runs a sweep with two workers over faults; its trials, and what was printed."""

    def run(*faults: str) -> tuple[pd.DataFrame, str]:
        folder = tmp_path / f"{len(faults)}"
        folder.mkdir()
        shutil.copy(empty_database, folder)
        models = ["brought:tiny", *(CODE if faults else ())]
        text = SPACE.format(models=models)
        text += FAULTS.format(faults=list(faults)) if faults else ""
        (folder / "space.toml").write_text(text.replace("'", '"'))
        words = (
            f"--dataset {sample} --limit 50 --epochs 2 --device cpu --space space.toml --study s "
            "--sampler GridSampler --pruner none --workers 2 --epoch-timeout 60 --no-promote"
        )
        tests = str(Path(__file__).parent)
        ended = sweep(folder, [*words.split(), "--trials", "40"], PYTHONPATH=tests)
        assert ended.status == 0, ended.output
        return load_study("s", f"sqlite:///{folder}/mlflow.db").trials, ended.output

    return run


@pytest.mark.slow
@pytest.mark.parametrize("faults", [BRIEF, pytest.param(EVERY, marks=pytest.mark.crash)])
def test_faults_of_user_code_end_their_own_trials_and_no_others(
    faults: tuple[str, ...], swept: Callable[..., tuple[pd.DataFrame, str]]
) -> None:
    """Where the network is made as in its first epoch; the rest is as in a sweep without them."""
    without, _ = swept()
    trials, printed = swept(*faults)
    assert len(trials) == len(without) + 2 * len(faults)
    failed = trials[trials["state"] == "failed"]
    assert sorted(zip(failed["model.fault"], failed["model.where"], strict=True)) == sorted(
        (fault, where) for fault in faults for where in ("made", "trained")
    )
    columns = ["lr", "state", "epochs", "best_epoch", "best_val_loss", "val_loss", "train_loss"]
    others = trials[trials["model"] == "brought:tiny"].sort_values("lr")[columns]
    expected = without.sort_values("lr")[columns]
    pd.testing.assert_frame_equal(
        others.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
    )
    assert "brought:tiny fails" not in printed
