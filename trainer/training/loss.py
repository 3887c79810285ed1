"""The loss: cross entropy, or a function that users bring."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from trainer.errors import ConfigError
from trainer.settings.references import find

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of the outputs and targets of a batch that returns the mean over the batch."""


def find_loss(name: str) -> Loss:
    """Look up a loss by name or reference.

    Raises:
        ConfigError: its module or function is missing, or it is a class. The returned function
            raises it where the loss returns anything but a scalar tensor.
    """
    if name == "cross_entropy":
        return F.cross_entropy
    loss: Loss = find("loss", name)
    if loss is F.cross_entropy:  # see `total_loss`
        return loss
    if inspect.isclass(loss) or not callable(loss):
        raise ConfigError(
            f"loss {name} must be a function of (outputs, targets), or an object of a class of "
            f"losses, but is {loss!r}."
        )

    def checked(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        if not isinstance(value, Tensor) or value.ndim:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(
                f"loss {name} must give a tensor of shape (), the mean of a batch, but gave {got}."
            )
        return value

    return checked


def total_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over a batch."""
    if loss is F.cross_entropy:
        return F.cross_entropy(outputs, targets, reduction="sum")
    return loss(outputs, targets) * len(targets)
