import signal
import threading
from collections.abc import Callable
from typing import Annotated

import pytest
import typer

from trainer.errors import ConfigError, TrainerError
from trainer.settings import flags


@pytest.mark.parametrize(
    ("word", "settings"),
    [
        ("momentum=0.9", {"momentum": 0.9}),
        ("nesterov=True", {"nesterov": True}),
        ("betas=0.9,0.99", {"betas": [0.9, 0.99]}),
        ("betas=(0.9, 0.99)", {"betas": [0.9, 0.99]}),
        ("betas=[0.9, 0.99]", {"betas": [0.9, 0.99]}),
        ("weight_decay=1e-4", {"weight_decay": 0.0001}),
        ("mode=max", {"mode": "max"}),
        ("mode=a=b", {"mode": "a=b"}),
        ("mode=", {"mode": ""}),
        (" eps =1", {"eps": 1}),
        ("foreach=None", {"foreach": None}),
        ("code=__import__('os')", {"code": "__import__('os')"}),
    ],
)
def test_a_setting_is_read_as_python_writes_it(word: str, settings: dict[str, object]) -> None:
    """What is no number, truth or list stays text; nothing is run."""
    assert flags.parse_settings([word]) == settings


def test_the_last_of_two_settings_of_one_name_stands() -> None:
    """As on any command line."""
    words = ["momentum=0.5", "dampening=0", "momentum=0.9"]
    assert flags.parse_settings(words) == {"momentum": 0.9, "dampening": 0}


def test_a_setting_without_a_value_is_an_error() -> None:
    """It names the word."""
    with pytest.raises(ConfigError, match=r"--set must be NAME=VALUE, but got 'momentum'\."):
        flags.parse_settings(["momentum"])


def app_of(work: Callable[[], int | None]) -> typer.Typer:
    """A command with one option, that does this."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def command(epochs: Annotated[int, typer.Option(help="Passes.")] = 1) -> int | None:
        return work()

    return app


def raising(error: BaseException) -> Callable[[], int]:
    """Something that fails."""

    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "argv", "status", "said"),
    [
        (lambda: 0, [], 0, ""),
        (lambda: None, [], 0, ""),
        (lambda: 3, ["--epochs", "2"], 3, ""),
        (raising(TrainerError("no data")), [], 1, "error: no data\n"),
        (raising(KeyboardInterrupt()), [], 130, ""),
        (lambda: 0, ["--epochs", "two"], 2, "Invalid value for '--epochs'"),
        (lambda: 0, ["--epoch", "2"], 2, "No such option"),
        (lambda: 0, ["more"], 2, "unexpected extra argument"),
    ],
)
def test_a_command_ends_with_a_status_and_at_most_one_error(
    work: Callable[[], int | None],
    argv: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 done, 1 a known error in one line on stderr, 2 wrong usage, 130 interrupted."""
    assert flags.run(app_of(work), argv) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert bool(printed.err) == bool(said)
    if status == 1:
        assert printed.err == said


def test_sigterm_is_an_interrupt_as_long_as_a_command_runs() -> None:
    """Whoever ends it politely gets what Ctrl-C gets; the handler of before is back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    assert flags.run(app_of(lambda: signal.raise_signal(signal.SIGTERM)), []) == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_runs_in_any_thread() -> None:
    """Signals are the main thread's affair."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(flags.run(app_of(lambda: 0), [])))
    thread.start()
    thread.join()
    assert statuses == [0]


def test_help_is_done_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, so that it can be piped."""
    assert flags.run(app_of(lambda: 3), ["--help"]) == 0
    printed = capsys.readouterr()
    assert "--epochs" in printed.out
    assert printed.err == ""


def test_a_bug_keeps_its_traceback() -> None:
    """Only known errors become a line."""
    with pytest.raises(ZeroDivisionError):
        flags.run(app_of(raising(ZeroDivisionError())), [])
