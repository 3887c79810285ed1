"""The loss: cross entropy, or a function or class that users bring, with arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.errors import ConfigError, unknown
from trainer.settings.references import find

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of the outputs and targets of a batch that returns the mean over the batch."""

_OF_TRAINING = "label_smoothing"
_OF_THE_MEAN = ("reduction", "reduce", "size_average")


def find_losses(name: str, args: Mapping[str, Any]) -> tuple[Loss, Loss]:
    """Look up the losses of training and of validation by name or reference.

    They differ in `label_smoothing` alone, which acts in training: validation losses of trials with
    different smoothing can then be compared.

    Raises:
        ConfigError: the module, function or class is missing, or does not take the arguments. The
            returned functions raise it where the loss returns anything but a scalar tensor.
    """
    made = F.cross_entropy if name == "cross_entropy" else find("loss", name)
    if not callable(made):
        raise ConfigError(
            f"loss {name} must be a function of (outputs, targets), or a class of losses, but is "
            f"{made!r}."
        )
    _check_arguments(name, made, args)
    of_validation = {key: value for key, value in args.items() if key != _OF_TRAINING}
    training = _loss(name, made, args)
    return training, training if len(of_validation) == len(args) else _loss(
        name, made, of_validation
    )


def total_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over a batch."""
    if loss is F.cross_entropy:
        return F.cross_entropy(outputs, targets, reduction="sum")
    return loss(outputs, targets) * len(targets)


def _check_arguments(name: str, made: Any, args: Mapping[str, Any]) -> None:
    try:
        parameters = list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):  # of a function written in C
        return
    given = parameters if inspect.isclass(made) else parameters[2:]
    known = [it.name for it in given if it.name not in _OF_THE_MEAN]
    takes_any = any(it.kind == it.VAR_KEYWORD for it in given)
    for arg in args:
        if arg in _OF_THE_MEAN or (arg not in known and not takes_any):
            raise ConfigError(unknown(f"argument of loss {name}", arg, known))


def _loss(name: str, made: Any, args: Mapping[str, Any]) -> Loss:
    try:
        loss = cast("Loss", made(**args) if inspect.isclass(made) else partial(made, **args))
        if made is F.cross_entropy and args:  # so that torch's objections are known early
            loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    except Exception as error:  # user code can raise anything
        words = ", ".join(f"{it}={value!r}" for it, value in args.items())
        raise ConfigError(
            f"loss {name}({words}) must give a loss, but: {type(error).__name__}: "
            f"{' '.join(str(error).split())}"
        ) from error
    if made is F.cross_entropy and not args:  # see `total_loss`
        return cast("Loss", F.cross_entropy)

    def checked(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        if not isinstance(value, Tensor) or value.ndim:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(
                f"loss {name} must give a tensor of shape (), the mean of a batch, but gave {got}."
            )
        return value

    return checked
