"""Learning-rate schedulers by name or reference, and their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch.optim import lr_scheduler

from trainer.errors import ConfigError, unknown
from trainer.settings.apart import apart
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
"""Torch's schedulers with plain arguments; the others take functions or other schedulers."""


def parameters_of(scheduler: str) -> dict[str, inspect.Parameter]:
    """Arguments of a scheduler besides the optimizer, by name.

    Raises:
        ConfigError: the scheduler does not exist.
    """
    if scheduler == NONE:
        return {}
    parameters = dict(inspect.signature(class_of(scheduler)).parameters)
    parameters.pop(next(iter(parameters), ""), None)  # the optimizer
    parameters.pop("last_epoch", None)
    return parameters


def arguments_of(scheduler: str) -> frozenset[str]:
    """Names of the arguments of a scheduler besides the optimizer.

    Raises:
        ConfigError: the scheduler does not exist.
    """
    return apart([scheduler], _names_of, scheduler)


def _names_of(scheduler: str) -> frozenset[str]:
    return frozenset(parameters_of(scheduler))


def class_of(scheduler: str) -> Callable[..., Any]:
    """Class of a scheduler, by name or reference.

    Raises:
        ConfigError: the scheduler does not exist.
    """
    if is_reference(scheduler):
        made: Callable[..., Any] = find("scheduler", scheduler)
        return made
    if scheduler not in SCHEDULERS:
        raise ConfigError(unknown("scheduler", scheduler, (*SCHEDULERS, "package.module:name")))
    named: Callable[..., Any] = getattr(lr_scheduler, scheduler)
    return named
