from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.engine.executors import InlineExecutor
from sweeps.engine.purity import is_pure
from sweeps.errors import SweepError
from sweeps.settings.config import SweepConfig
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig

Small = Callable[..., TrainConfig]


class Refuses(InlineExecutor):
    """An executor that nothing should be submitted to."""

    def submit(self, fn: Callable[..., object], *args: object) -> object:  # type: ignore[override]
        """Fail."""
        raise AssertionError(f"{fn} was submitted")


def test_without_code_of_users_nothing_is_tried(small: Small, tmp_path: Path) -> None:
    """The networks and optimizers here are known to repeat."""
    assert is_pure(SweepConfig(train=small()), Refuses(), tmp_path)


@pytest.mark.parametrize(("model", "expected"), [("noisy", True), ("restless", False)])
def test_what_users_bring_is_tried_in_two_processes(
    model: str, expected: bool, small: Small, tmp_path: Path
) -> None:
    """Seeded dropout and batch norm repeat; a draw from a source that nobody seeded does not."""
    config = SweepConfig(train=small(model=f"brought:{model}"))
    assert is_pure(config, InlineExecutor(), tmp_path) is expected


@pytest.mark.parametrize(
    ("loss", "words"),
    [("SmoothLoss", "must be a function of .*, but is <class"), ("each", r"mean .* gave \(64,")],
)
def test_a_loss_that_is_no_function_of_a_batch_is_one_line(
    loss: str, words: str, small: Small, tmp_path: Path
) -> None:
    """A class, or a loss for each image: both are common slips."""
    config = SweepConfig(train=small(loss=f"brought:{loss}"))
    with pytest.raises(ConfigError, match=words) as caught:
        is_pure(config, InlineExecutor(), tmp_path, InlineExecutor)
    assert "\n" not in str(caught.value)


def test_code_that_fails_is_an_error_with_its_traceback_before_anything_is_trained(
    small: Small, tmp_path: Path
) -> None:
    """A piece of a space is tried too, not only what all trials have."""
    space = tmp_path / "space.toml"
    space.write_text('lr = 0.1\nloss = ["cross_entropy", "brought:broken"]\n')
    config = SweepConfig(train=small(), space=str(space))
    with pytest.raises(SweepError) as caught:
        is_pure(config, InlineExecutor(), tmp_path, InlineExecutor)
    message = str(caught.value)
    assert message.startswith("Code that was brought fails in its first batches:\n")
    assert message.endswith("ValueError: no loss today")
    assert "brought.py" in message
    with pytest.raises(ConfigError, match="Muon only supports 2D parameters"):
        is_pure(
            SweepConfig(train=small(model="brought:tiny", optimizer="Muon")),
            InlineExecutor(),
            tmp_path,
            InlineExecutor,
        )
