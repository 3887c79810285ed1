from pathlib import Path

import pytest

from sweeps.__main__ import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_run_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With its own options and help."""
    assert main([name, "--help"]) == 0
    assert f"Usage: sweeps {name} [OPTIONS]" in capsys.readouterr().out


def test_options_and_exit_status_are_those_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A known error is 1, wrong usage 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["space", "--show"]) == 0
    assert "optimizer = [" in capsys.readouterr().out
    assert main(["report"]) == 1
    assert main(["run", "--trails", "5"]) == 2
    assert "--trials" in capsys.readouterr().err


def test_a_wrong_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """And all commands are listed where none is named."""
    assert main(["reprot"]) == 2
    assert "'report'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)
