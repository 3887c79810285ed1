"""The examples, run as their first lines say."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import sweep

from sweeps import load_trials

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SMALL = "--epochs 1 --trials 3 --executor inline --device cpu"


def commands(path: Path) -> list[list[str]]:
    """What the module's docstring says is to be run: the words after `python`."""
    doc = ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""
    lines = doc.splitlines()  # a backslash at the end of a line joins it with the next
    return [shlex.split(line)[1:] for line in lines if line.startswith("    python ")]


@pytest.fixture
def folder(tmp_path: Path, tracking_uri: str) -> Path:
    """A folder with the examples in it, as in a clone."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_says(path: Path, folder: Path) -> None:
    """Each command of it, a sweep with fewer trials and images, ends in trials that count."""
    assert commands(path), f"{path} says no command"
    for first, *words in commands(path):
        if first == "-m":
            assert words[0] == "sweeps.run"
            limit = [] if "--trainable" in words else ["--limit", "60"]
            ended = sweep(folder, [*words[1:], *SMALL.split(), *limit])
            assert ended.status == 0, ended.output
        else:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, first, *words], cwd=folder, env=environment, check=True)
    trials = load_trials(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    assert set(trials["state"]) <= {"complete", "pruned", "diverged"}
    assert (trials["state"] == "complete").any()


def test_the_lines_that_a_script_has_to_change_are_those_of_the_example() -> None:
    """At most 15, as docs/extending.md shows them."""
    shown = (ROOT / "docs" / "extending.md").read_text().partition("```diff\n")[2]
    added = [it[1:] for it in shown.partition("```")[0].splitlines() if it.startswith("+")]
    lines = (ROOT / "examples" / "mnist_loop.py").read_text().splitlines()
    assert 1 < len(added) <= 15
    assert not [line for line in added if line not in lines]
