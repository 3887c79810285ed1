import pytest

from sweeps.report.showing import open_console


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """What is a code of an emoji to rich is the name of a study here."""
    open_console().print("--enqueue study:a:top=5 study:fire:top=5", markup=False)
    assert capsys.readouterr().out == "--enqueue study:a:top=5 study:fire:top=5\n"


def test_what_goes_into_a_pipe_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is searched for stays whole."""
    line = "winner: " + 30 * "trial 7 "
    open_console().print(line, highlight=False)
    assert capsys.readouterr().out.splitlines() == [line]
