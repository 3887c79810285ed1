"""Rehearsal: whether user code can be trained epoch by epoch, stored and resumed in between."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.stages.plan import digest, plan
from trainer.stages.stage import data_of
from trainer.stages.store import packed, unpacked
from trainer.training.device import set_determinism
from trainer.training.loop import Training
from trainer.training.recipe import Recipe


@dataclass(frozen=True)
class Rehearsal:
    """Digests after the first batches of epochs 1 and 2.

    Attributes:
        straight: of state and validation after each epoch, trained in one go.
        stopped: the same, with the state saved and loaded into new objects between the epochs.
    """

    straight: tuple[str, ...]
    stopped: tuple[str, ...]

    @property
    def repeats(self) -> bool:
        """Whether epoch 1 gave the same bits twice."""
        return self.straight[0] == self.stopped[0]

    @property
    def resumes(self) -> bool:
        """Whether the state contains all that epoch 2 depends on."""
        return self.straight == self.stopped


def rehearse(config: TrainConfig, folder: Path, batches: int = 3) -> Rehearsal:
    """Train and validate the first batches of epochs 1 and 2 twice, without storing anything.

    Args:
        config: with its device resolved.
        folder: of the prepared data sets.
        batches: of an epoch.

    Raises:
        ConfigError: the state cannot be stored.
        Exception: whatever user code raises.
    """
    set_determinism(config.device, config.threads, deterministic=config.deterministic)
    recipe = Recipe(config, data_of(config, folder))
    return Rehearsal(
        straight=_trained(recipe, batches, stop=False),
        stopped=_trained(recipe, batches, stop=True),
    )


def check_resumes(config: TrainConfig, rehearsal: Rehearsal) -> None:
    """Refuse user code that gives other numbers when it is stopped and resumed between epochs.

    Raises:
        ConfigError: epoch 1 repeats, but epoch 2 depends on something outside the state.
    """
    if rehearsal.repeats and not rehearsal.resumes:
        raise ConfigError(
            f"All that an epoch leaves to the next must be in state_dict(), but "
            f"{' and '.join(config.references)} keep more: epoch 2 gave other numbers after its "
            "state was stored and loaded. In a model use register_buffer(..., persistent=True), "
            "in an optimizer self.state or its param_groups."
        )


def _trained(recipe: Recipe, batches: int, *, stop: bool) -> tuple[str, ...]:
    """Digests after each of two epochs; `stop`: save and load the state in between."""
    stages = plan(recipe)  # refuses what cannot be trained
    training = Training(recipe)
    digests: list[str] = []
    val_losses: list[float] = []
    for epoch in range(1, min(2, recipe.config.epochs) + 1):
        stage = stages[epoch]
        training.train(stage.epoch, stage.rates, most=batches)
        val_loss, _ = training.validate(most=batches)
        val_losses.append(val_loss)
        stages = plan(recipe, val_losses)
        digests.append(digest({"state": training.state(), "val_loss": val_loss}))
        if stop:
            try:
                state = unpacked(packed(training.state()))
            except pickle.UnpicklingError as error:
                code = " and ".join(recipe.config.references)
                what = next(_foreign(training.state()), "something else")
                raise ConfigError(
                    f"What {code} keep in state_dict() must be tensors and Python's numbers and "
                    f"texts, but there is {what}."
                ) from error
            training = Training(recipe)
            training.load(state)
    return tuple(digests)


def _foreign(value: object, where: str = "") -> Iterator[str]:
    """Values that torch would refuse to load, each as "place (type)"."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _foreign(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _foreign(item, f"{where}.{number}")
    elif not isinstance(value, torch.Tensor) and type(value) not in _PLAIN:
        yield f"{where} ({type(value).__module__}.{type(value).__qualname__})"


_PLAIN = (bool, int, float, str, bytes, type(None))
