from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sweeps.engine.executors import InlineExecutor, LocalExecutor
from sweeps.engine.purity import is_pure
from sweeps.errors import SweepError
from sweeps.settings.config import SweepConfig
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

Small = Callable[..., TrainConfig]

HERE = (InlineExecutor, InlineExecutor)
APART = (InlineExecutor, partial(LocalExecutor, 1))


def refuse() -> InlineExecutor:
    """Make no executor, as nothing should be submitted to it."""
    raise AssertionError("an executor was made")


def quiet(line: str) -> None:
    """Show nothing."""


def test_without_code_of_users_nothing_is_tried(small: Small, tmp_path: Path) -> None:
    """The networks and optimizers here are known to repeat."""
    assert is_pure(SweepConfig(train=small()), tmp_path, (refuse, refuse), quiet)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "expected"), [("noisy", True), ("restless", False)])
def test_what_users_bring_is_tried_in_two_processes(
    model: str, expected: bool, small: Small, tmp_path: Path
) -> None:
    """Seeded dropout and batch norm repeat; a draw from a source that nobody seeded does not."""
    config = SweepConfig(train=small(model=f"brought:{model}"))
    assert is_pure(config, tmp_path, APART, quiet) is expected


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("Halving", r"Halving\(\) must give a loss, but: TypeError: .* missing .* 'params'"),
        ("each", r"mean .* gave \(64,"),
    ],
)
def test_a_loss_that_is_no_function_of_a_batch_is_one_line(
    loss: str, words: str, small: Small, tmp_path: Path
) -> None:
    """A class that needs arguments, or a loss for each image."""
    config = SweepConfig(train=small(loss=f"brought:{loss}"))
    with pytest.raises(ConfigError, match=words) as caught:
        is_pure(config, tmp_path, HERE, quiet)
    assert "\n" not in str(caught.value)


def test_code_of_all_trials_that_fails_is_an_error_with_its_traceback_before_training(
    small: Small, tmp_path: Path
) -> None:
    """No trial could be trained."""
    with pytest.raises(SweepError) as caught:
        is_pure(SweepConfig(train=small(loss="brought:broken")), tmp_path, HERE, quiet)
    message = str(caught.value)
    assert message.startswith("Code that was brought fails in its first batches:\n")
    assert message.endswith("ValueError: no loss today")
    assert "brought.py" in message
    config = SweepConfig(train=small(model="brought:tiny", optimizer="Muon"))
    with pytest.raises(ConfigError, match="Muon only supports 2D parameters"):
        is_pure(config, tmp_path, HERE, quiet)


def test_code_of_some_trials_that_fails_is_said_before_training(
    small: Small, tmp_path: Path
) -> None:
    """The other trials are trained, and share epochs if the rest is pure."""
    space = tmp_path / "space.toml"
    losses = '["cross_entropy", "brought:broken", "brought:smooth"]'
    space.write_text(f"lr = 0.1\nloss = {losses}\n")
    lines: list[str] = []
    config = SweepConfig(train=small(), space=str(space))
    assert is_pure(config, tmp_path, HERE, lines.append)
    assert lines == [
        "brought:broken fails where it is tried before training: ValueError: no loss today"
    ]
