"""Learning-rate schedulers by name or reference, and the arguments they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch.optim import lr_scheduler

from trainer.errors import ConfigError, unknown
from trainer.settings.references import find, is_reference

NONE = "none"
PLATEAU = "ReduceLROnPlateau"
SCHEDULERS = (
    NONE,
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
    PLATEAU,
)
"""Those of torch that plain values make; the others take functions or other schedulers."""


def parameters_of(scheduler: str) -> dict[str, inspect.Parameter]:
    """The arguments that a scheduler takes besides the optimizer, by name.

    Raises:
        ConfigError: there is no such scheduler.
    """
    if scheduler == NONE:
        return {}
    parameters = dict(inspect.signature(class_of(scheduler)).parameters)
    parameters.pop(next(iter(parameters), ""), None)  # the optimizer
    parameters.pop("last_epoch", None)
    return parameters


def class_of(scheduler: str) -> Callable[..., Any]:
    """The class of a scheduler by its name, or by a reference.

    Raises:
        ConfigError: there is no such scheduler.
    """
    if is_reference(scheduler):
        made: Callable[..., Any] = find("scheduler", scheduler)
        return made
    if scheduler not in SCHEDULERS:
        raise ConfigError(unknown("scheduler", scheduler, (*SCHEDULERS, "package.module:name")))
    named: Callable[..., Any] = getattr(lr_scheduler, scheduler)
    return named
