"""What a rehearsal finds out about code that users bring, and what it cannot be fooled by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.runs.fit import fit
from trainer.settings.config import TrainConfig
from trainer.stages.rehearsal import check_resumes, rehearse
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore

NOWHERE = Path("nowhere")

Small = Callable[..., TrainConfig]


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_rehearsal_repeats_and_stores_nothing(
    epochs: int, small: Small, store: StageStore
) -> None:
    """Its digests are those of the run, not of the process or of what was drawn before."""
    config = small(model="brought:noisy", epochs=epochs)
    first = rehearse(config, NOWHERE)
    assert first.repeats
    assert first.resumes
    assert rehearse(config, NOWHERE) == first
    assert rehearse(replace(config, seed=1), NOWHERE) != first
    assert not list(Path(store.url).rglob("*"))


def test_code_that_is_not_pure_shows_in_a_rehearsal(small: Small) -> None:
    """A draw from what nobody seeded, and what the process remembers from an earlier model."""
    assert not rehearse(small(model="brought:restless"), NOWHERE).repeats
    assert not rehearse(small(model="brought:remembering"), NOWHERE).repeats


@pytest.mark.parametrize("model", ["brought:counting", "brought:forgetful"])
def test_what_is_kept_between_epochs_outside_of_the_state_is_refused(
    model: str, small: Small, store: StageStore, tmp_path: Path
) -> None:
    """A step counter in the module or a buffer that is not persistent is lost with each stop.

    Such a run would have other numbers epoch by epoch than in one go.
    """
    config = small(model=model, epochs=2, limit=40, batch_size=8)
    one_by_one = [train_stage(config, epoch, store, NOWHERE).result for epoch in (1, 2)]
    straight = train_stage(config, 2, StageStore(tmp_path / "other"), NOWHERE).result
    assert straight.val_loss != one_by_one[1].val_loss

    rehearsal = rehearse(config, NOWHERE)
    assert rehearsal.repeats
    with pytest.raises(ConfigError, match=f"must be in state_dict.*but {model} keep more"):
        check_resumes(config, rehearsal)


def test_a_state_that_cannot_be_loaded_is_refused_before_an_epoch_is_trained(
    small: Small, store: StageStore
) -> None:
    """torch stores a number of numpy's, but does not load it."""
    config = small(model="brought:tiny", optimizer="brought:Numbered", epochs=2)
    with pytest.raises(ConfigError) as caught:
        fit(config, store, None, NOWHERE)  # type: ignore[arg-type] # it is never reached
    assert str(caught.value).endswith("but there is optimizer.state.0.count (numpy.float64).")
    assert not list(Path(store.url).rglob("*.pt"))
