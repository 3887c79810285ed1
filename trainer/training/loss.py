"""The loss: cross entropy, or a function that users bring."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from trainer.settings.references import find

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes the network's outputs and the targets of a batch, gives the mean over the batch."""


def find_loss(name: str) -> Loss:
    """The loss of that name, or what the reference names.

    Raises:
        ConfigError: its module or function is missing.
    """
    if name == "cross_entropy":
        return F.cross_entropy
    loss: Loss = find("loss", name)
    return loss


def total_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over a batch."""
    if loss is F.cross_entropy:
        return F.cross_entropy(outputs, targets, reduction="sum")
    return loss(outputs, targets) * len(targets)
