"""Progress is a value that adds up and can be read."""

import pytest

from sweeps.engine.progress import Progress
from sweeps.report.showing import duration


def progress(**changes: object) -> Progress:
    """A sweep of ten trials of four epochs."""
    fields = {"study": "s", "trials": 10, "epochs": 4, "objective": "val_loss", **changes}
    return Progress(**fields)  # type: ignore[arg-type]


def test_trials_are_counted_by_how_they_ended() -> None:
    """What never happened is not spoken of, except for the two usual endings."""
    now = progress()
    assert now.counts() == "0 complete, 0 pruned"
    for number, outcome in enumerate(["complete", "diverged", "complete"]):
        now = now.with_trial(number, "label", outcome, None)
    assert now.done == 3
    assert now.counts() == "2 complete, 0 pruned, 1 diverged"


@pytest.mark.parametrize(("maximize", "best"), [(False, 1), (True, 2)])
def test_the_best_trial_is_the_best_by_the_objective(maximize: bool, best: int) -> None:
    """Less loss is better, more accuracy is; what cannot be ranked is not the best."""
    now = progress(maximize=maximize)
    for number, value in enumerate([0.5, 0.2, 0.9, None]):
        now = now.with_trial(number, "label", "complete", value)
    assert now.best is not None
    assert now.best.trial == best


def test_of_equal_trials_the_first_is_the_best() -> None:
    """A later trial has to be better."""
    now = progress().with_trial(4, "a", "complete", 0.5).with_trial(5, "b", "complete", 0.5)
    assert now.best is not None
    assert now.best.trial == 4


def test_time_left_is_a_bound_until_a_trial_has_ended() -> None:
    """Ten trials of four epochs at ten seconds each; then as many epochs as trials really take."""
    assert progress().time_left() == "time left not known yet"
    begun = progress(landed=2, trained=2, seconds=20.0)
    assert begun.time_left() == f"at most {duration(400)} left"
    pruned = begun.with_trial(0, "label", "pruned", 0.5)
    assert pruned.time_left() == f"about {duration(9 * 2 * 10)} left"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (7260, "2 h 1 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == words
