"""Training loops as users bring them, and one for each fault; none needs torch."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Walk:
    """A random walk towards 0: its loss is where it stands."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.config = config
        self.at = np.full(2, float(config["start"]))

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """One step, by a random share of the step size."""
        self.at = self.at * (1 - self.config["step"] * np.random.random(2))
        return {"distance": float(np.abs(self.at).sum()), "test_loss": float(self.at[0])}

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        self.at = state["at"]


class Later(Walk):
    """`late` acts from epoch 3 on, so that trials which differ in it share two epochs."""

    def in_force(self, epoch: int) -> Mapping[str, Any]:
        """All but `late`, and `late` from epoch 3 on."""
        named = ("start", "step") if epoch < 3 else ("start", "step", "late")
        return {name: self.config[name] for name in named}

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """One step, in which `late` counts from epoch 3 on."""
        self.at = self.at * (self.config["late"] if epoch > 2 else 1)
        return super().train_epoch(epoch)


class Clock(Walk):
    """It is not pure: it looks at the clock."""

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """A loss of its own each time."""
        self.at = self.at + time.perf_counter_ns() % 1000
        return super().train_epoch(epoch)


class Forgetful(Walk):
    """What it keeps between epochs is not in its state."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


class Nan(Walk):
    """Its loss is not a number from epoch 2 on."""

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """No number."""
        return {"distance": math.nan if epoch > 1 else 1.0}


class Silent(Walk):
    """It returns another metric than the objective."""

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Another one."""
        return {"way": 1.0}


class Locked(Walk):
    """Its state has what cannot be stored."""

    def state_dict(self) -> dict[str, Any]:
        """A set, two levels down."""
        return {"at": self.at, "seen": {"places": [{1, 2}]}}


class Unloadable(Walk):
    """It cannot load what it stored."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Look for a name that is not there."""
        self.at = state["place"]
