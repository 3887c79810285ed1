"""What people see while a sweep runs."""

import io

from rich.console import Console

from sweeps.engine.progress import Busy, Progress
from sweeps.engine.view import open_view


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    """A console of 100 columns, and what is written to it."""
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=100), written


def midway() -> Progress:
    """A sweep that has gone on for a while."""
    busy = Busy(trial=7, label="SGD lr=0.1 step_size=5 gamma=0.3", epoch=3, seconds=12.0)
    now = Progress(study="mine", trials=50, epochs=20, objective="val_loss", landed=60)
    now = now.with_trial(3, "Adam lr=0.001 step_size=9 gamma=0.5", "complete", 1.234)
    now = now.with_epochs(trained=57, reused=8)
    return Progress(**{**vars(now), "busy": (busy,), "seconds": 600.0})


def test_a_terminal_shows_all_that_matters() -> None:
    """Trials of N, the best so far, what each worker trains, epochs, and the time left."""
    shown, written = console(terminal=True)
    with open_view(shown) as view:
        view.say("a line that stays")
        view.show(midway())
    text = written.getvalue()
    for words in (
        "a line that stays",
        "1 of 50",
        "val_loss 1.2340",
        "Adam lr=0.001 step_size=9 gamma=0.5",
        "trial 7 epoch 3/20: SGD lr=0.1 step_size=5 gamma=0.3",
        "57 trained, 8 reused",
        "left",
    ):
        assert words in text


def test_without_a_terminal_there_are_plain_lines() -> None:
    """No cursor is moved, no line is broken, and the same is not said every half second."""
    shown, written = console(terminal=False)
    with open_view(shown) as view:
        view.say("trial 3 complete " + "x" * 200)
        view.show(midway())
        view.show(midway())
    said, headline = written.getvalue().splitlines()
    assert said == "trial 3 complete " + "x" * 200
    assert headline.startswith("1/50 trials (1 complete, 0 pruned); best val_loss 1.2340 (trial 3)")
    assert "\x1b" not in written.getvalue()


def test_a_tracker_that_does_not_answer_is_shown() -> None:
    """Both views say so, with the reason; without a terminal once, and when it is over."""
    for terminal in (True, False):
        shown, written = console(terminal=terminal)
        with open_view(shown) as view:
            view.show(Progress(**{**vars(midway()), "problem": "ConnectionError: nobody"}))
        assert "ConnectionError: nobody" in written.getvalue()
    shown, written = console(terminal=False)
    with open_view(shown) as view:
        for problem in ("", "2 runs", "3 runs", "", "4 runs"):
            view.show(Progress(**{**vars(midway()), "problem": problem, "seconds": 1.0}))
    assert written.getvalue().splitlines() == [
        "MLflow: 2 runs",
        "MLflow answers again.",
        "MLflow: 4 runs",
    ]


def test_the_wait_at_the_end_is_counted_down_on_a_terminal_alone() -> None:
    """Elsewhere it is said once."""
    for terminal in (True, False):
        shown, written = console(terminal=terminal)
        with open_view(shown) as view:
            for seconds in (60, 59):
                closing = f"waiting {seconds} s at most"
                view.show(Progress(**{**vars(midway()), "closing": closing}))

        assert ("waiting 59 s at most" in written.getvalue()) == terminal
