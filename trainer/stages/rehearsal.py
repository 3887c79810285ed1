"""Rehearsal: whether user code can be trained epoch by epoch, stored and resumed in between."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError
from trainer.metrics import VAL_LOSS
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.stages.sealed import packed, unpacked
from trainer.stages.stage import data_of
from trainer.training.device import set_determinism
from trainer.training.loop import build
from trainer.training.recipe import Recipe, UserRecipe, recipe_of
from trainer.training.schedule import Rates
from trainer.training.state import digest, foreign
from trainer.training.trainable import Trainable


@dataclass(frozen=True)
class Rehearsal:
    """Digests after the first batches of epochs 1 and 2.

    Attributes:
        straight: of state and objectives after each epoch, trained in one go.
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


def rehearse(
    config: TrainConfig, folder: Path, batches: int = 3, objectives: Sequence[str] = ()
) -> Rehearsal:
    """Train and validate the first batches of epochs 1 and 2 twice, without storing anything.

    A class of the user's trains whole epochs.

    Args:
        config: with its device resolved.
        folder: of the prepared data sets.
        batches: of an epoch.
        objectives: metrics by which runs are judged.

    Raises:
        ConfigError: the state cannot be stored, or an epoch lacks an objective.
        Exception: whatever user code raises.
    """
    set_determinism(config.device, config.threads, deterministic=config.deterministic)
    recipe = recipe_of(config, data_of(config, folder))
    return Rehearsal(
        straight=_trained(recipe, batches, objectives, stop=False),
        stopped=_trained(recipe, batches, objectives, stop=True),
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


def _trained(
    recipe: Recipe | UserRecipe, batches: int, objectives: Sequence[str], *, stop: bool
) -> tuple[str, ...]:
    """Digests after each of two epochs; `stop`: save and load the state in between."""
    rates: list[Rates] = []
    val_losses: list[float] = []
    digests: list[str] = []
    training: Trainable | None = None
    state: dict[str, Any] = {}
    for epoch in range(1, min(2, recipe.config.epochs) + 1):
        stages = plan(recipe, val_losses)  # refuses what cannot be trained
        rates[:] = [stage.rates for stage in stages[1:]]
        if training is None or stop:
            training = build(recipe, rates, batches)
        if stop and epoch > 1:
            training.load_state_dict(_stored(state, recipe.config))
        values = training.train_epoch(epoch)
        state = training.state_dict()
        val_losses.append(values.get(VAL_LOSS, math.nan))
        judged = {name: values.get(name) for name in (VAL_LOSS, *objectives)}
        check_objectives(recipe.config, values, objectives)
        digests.append(digest({"state": state, "values": judged}))
    if stop:
        _stored(state, recipe.config)
    return tuple(digests)


def check_objectives(
    config: TrainConfig, values: Mapping[str, float], objectives: Sequence[str]
) -> None:
    """Check that an epoch has what runs are judged by.

    Raises:
        ConfigError: it lacks an objective.
    """
    for name in objectives:
        if name not in values:
            raise ConfigError(
                f"train_epoch of {config.trainable} must return the objective {name!r}, but "
                f"returned {', '.join(values) or 'nothing'}; --objective NAME --direction "
                "minimize|maximize chooses another."
            )


def _stored(state: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """The state as the store returns it."""
    try:
        return unpacked(packed(state))
    except pickle.UnpicklingError as error:
        code = " and ".join(config.references)
        what = next(foreign(state), "something else")
        raise ConfigError(
            f"What {code} keep in state_dict() must be tensors and Python's numbers and "
            f"texts, but there is {what}."
        ) from error
