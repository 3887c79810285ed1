import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.data.npm import run
from trainer.errors import DataError

ROOT = Path(__file__).parent.parent


def test_an_interrupt_ends_the_command_that_runs(tmp_path: Path) -> None:
    """The child is dead when the interrupt gets out."""

    def interrupt_once_it_runs() -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    command = ["sh", "-c", "echo $$ > new && mv new pid && exec sleep 60"]
    with pytest.raises(KeyboardInterrupt):
        run(command, tmp_path, interrupt_once_it_runs)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("npm warn old\nnpm error code E1\nnpm error no such host\nnpm error x", "(no such host)"),
        ("npm error code E404", "(status 3)"),
        ("", "(status 3)"),
    ],
)
def test_a_command_that_fails_is_told_by_its_own_words(
    tmp_path: Path, said: str, reason: str
) -> None:
    """Of what npm prints, the first line that says something is the reason."""
    (tmp_path / "said").write_text(said)
    with pytest.raises(DataError) as caught:
        run(["sh", "-c", "cat said >&2; exit 3"], tmp_path, lambda: None)
    assert str(caught.value) == f"sh failed {reason}"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_a_killed_parent_takes_the_command_with_it(tmp_path: Path) -> None:
    """Even `kill -9` leaves no download running: the pipe that only it holds open is closed."""
    os.mkfifo(tmp_path / "held")
    command = ["sh", "-c", "exec sleep 60 > held"]
    code = (
        f"import pathlib, trainer.data.npm as n; n.run({command}, pathlib.Path.cwd(), lambda: None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    with parent, (tmp_path / "held").open() as held:  # which waits until the command runs
        parent.send_signal(signal.SIGKILL)
        assert held.read() == ""
