import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.killpoints import KILL_POINTS, VARIABLE, passing

ROOT = Path(__file__).parent.parent


def places() -> list[str]:
    """The names that `passing` is called with, wherever it is called."""
    trees = [
        ast.parse(path.read_text())
        for name in ("trainer", "sweeps")
        for path in ROOT.glob(f"{name}/**/*.py")
    ]
    return [
        node.args[0].value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "passing"
        and isinstance(node.args[0], ast.Constant)
    ]


def test_every_kill_point_is_one_place_in_the_code() -> None:
    """What the tests kill at is passed somewhere, and nothing else is."""
    assert sorted(places()) == sorted(KILL_POINTS)


def test_a_place_does_nothing_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, or with another place in it, the process lives."""
    passing("numbers-logged")
    monkeypatch.setenv(VARIABLE, "trial-told")
    passing("numbers-logged")


@pytest.mark.parametrize(("wanted", "passed"), [("tags-set", 1), ("tags-set@3", 3)])
def test_a_process_dies_where_it_was_asked_to_with_its_whole_group(
    wanted: str, passed: int
) -> None:
    """As by `kill -9`, the Nth time it passes; its children go with it."""
    code = (
        "import subprocess, sys\n"
        "from trainer.killpoints import passing\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "for number in range(1, 5):\n"
        "    print(number, flush=True)\n"
        "    passing('run-ended')\n"
        "    passing('tags-set')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, VARIABLE: wanted},
        stdout=subprocess.PIPE,  # held by the child too: `run` returns when both are gone
        start_new_session=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"%d" % number for number in range(1, passed + 1)]
