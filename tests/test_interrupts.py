from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from sweeps.engine import interrupts


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of the tests, given back."""
    before = {it: signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def interrupt(signum: int = signal.SIGINT) -> None:
    """Send it to this process, and let Python see it."""
    os.kill(os.getpid(), signum)
    for _ in range(100):
        pass


def test_a_held_interrupt_acts_where_it_is_asked_for() -> None:
    """Not before `check`, and then once."""
    steps = []
    with interrupts.held():
        interrupt()
        steps.append("continued")
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()
    assert steps == ["continued"]


def test_a_held_interrupt_acts_at_the_end_at_the_latest() -> None:
    """What is held is not lost, and the handler of before is back."""
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_within_allowed_an_interrupt_acts_at_once() -> None:
    """Also one that came before; and after `allowed` they are held again."""
    with interrupts.held():
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupts.allowed().__enter__()


def test_a_second_interrupt_acts_at_once() -> None:
    """Whoever presses Ctrl-C again means it."""
    with interrupts.held():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_the_handler_of_before_decides_what_a_signal_does() -> None:
    """Each signal's own is called, with its number."""
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: seen.append(signum))
    with interrupts.held():
        interrupt(signal.SIGTERM)
        assert seen == []
        interrupts.check()
        assert seen == [signal.SIGTERM]


def test_a_signal_that_python_does_not_handle_stays_as_it_was() -> None:
    """SIGTERM ends a program that says nothing of it."""
    code = (
        "import os, signal; from sweeps.engine import interrupts\n"
        "with interrupts.held(): os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGTERM


def test_other_threads_run_as_they_would() -> None:
    """Python's handlers run in the main thread alone, so there is nothing to hold elsewhere."""
    ended = []

    def work() -> None:
        with interrupts.held(), interrupts.allowed():
            interrupts.check()
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
