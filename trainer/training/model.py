"""Networks, initialized on the CPU from a seed, so that every device starts from the same bits."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trainer.errors import ConfigError
from trainer.settings.references import find, is_reference, restore_globals

SIDE = 32
"""Height and width, in pixels, of the images the tutorial's network takes."""


class TutorialNet(nn.Module):
    """The tutorial's network: three 5x5 convolutions, each with max pooling, and two linear layers.

    Takes N x `channels` x 32 x 32 (float32, 0 to 1) and gives N x `classes` scores. There is no
    activation between the layers, as in the tutorial.
    """

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.model1 = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1024, 64),
            nn.Linear(64, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of each class, N x `classes`."""
        scores: torch.Tensor = self.model1(images)
        return scores


@dataclass(frozen=True)
class NetworkSpec:
    """All that determines a network and its initial weights.

    Attributes:
        name: of a built-in network, or a reference to user code.
        frozen_args: arguments of the user's function, as JSON.
        seed: of the weights.
        classes: number of outputs.
        channels: of the images; of other inputs, the size of their first dimension.
        code: digest of the user code that the run brings.
    """

    name: str
    frozen_args: str
    seed: int
    classes: int
    channels: int
    code: str

    def build(self) -> nn.Module:
        """The network on the CPU, with its initial weights."""
        args = json.loads(self.frozen_args)
        return build_model(self.name, args, self.seed, self.classes, self.channels)


def check_model(name: str, args: Mapping[str, Any]) -> None:
    """Check that the model exists, without building it.

    Raises:
        ConfigError: its module or function is missing, or a built-in network is given arguments.
    """
    if is_reference(name):
        find("model", name)
    elif args:
        raise ConfigError(f"{name} takes no arguments, but got model.{next(iter(args))}.")


def build_model(
    name: str, args: Mapping[str, Any], seed: int, classes: int, channels: int
) -> nn.Module:
    """Build a network with the initial weights that torch draws after `torch.manual_seed(seed)`.

    A user's function is called with as many of (num_classes, in_channels) as it has arguments
    without a default; if it has none, with those of the two that it accepts by name.

    Args:
        name: of a built-in network, or a reference to a function that returns one.
        args: further arguments of that function.
        seed: of the weights.
        classes: number of outputs.
        channels: of its images; of other inputs, the size of their first dimension.

    Raises:
        ConfigError: the user's function fails, or returns something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "tutorial":
            return TutorialNet(classes, channels)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        return _users(name, args, classes, channels)


def _users(name: str, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
    make = find("model", name)
    try:
        given, by_name = _call(make, args, classes, channels)
        with restore_globals():
            model = make(*given, **by_name)
    except Exception as error:  # a user's function can raise anything
        raise ConfigError(
            f"model {name!r} must give a network for {classes} classes and {channels} channels, "
            f"but: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        raise ConfigError(
            f"model {name!r} must give a torch.nn.Module with parameters, "
            f"but gave a {type(model).__name__}."
        )
    return model


def _call(
    make: Callable[..., Any], args: Mapping[str, Any], classes: int, channels: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Positional and keyword arguments to call the function with."""
    parameters = inspect.signature(make).parameters
    needed = [
        name
        for name, item in parameters.items()
        if item.default is item.empty
        and item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
        and name not in args
    ]
    if needed:
        return (classes, channels)[: len(needed)], dict(args)
    by_name: dict[str, Any] = {}
    if "num_classes" in parameters or any(
        item.kind == item.VAR_KEYWORD for item in parameters.values()
    ):
        by_name["num_classes"] = classes
    by_name |= {name: channels for name in ("in_channels", "in_chans") if name in parameters}
    return (), by_name | dict(args)
