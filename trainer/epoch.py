"""The epoch: one visible loop over resident images, and the validation after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VALIDATION_BATCH = 500
"""Images per batch of validation; part of the numerics."""


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Images on the device: N x H x W x C, uint8; labels: N, int64."""

    images: Tensor
    labels: Tensor

    def batches(self, order: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of images (B x C x H x W, float32, 0 to 1, channels last) and labels (B)."""
        for start in range(0, len(self.labels), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            images = self.images[chosen].permute(0, 3, 1, 2).to(torch.float32).div_(255)
            yield images, self.labels[chosen]


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Resident,
    order: Tensor | None,
    batch_size: int,
) -> tuple[float, float, float]:
    """One pass over the training data.

    Returns:
        The sum over batches of their mean losses, the mean loss over images, and the mean loss of
        the first batch.
    """
    model.train()
    running = torch.zeros((), dtype=torch.float64, device=train.labels.device)
    total = torch.zeros_like(running)
    first: Tensor | None = None
    for images, labels in train.batches(order, batch_size):
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value = loss.detach()
        first = value if first is None else first
        running += value
        total += value * len(labels)
    assert first is not None, "a data set has at least one image"
    return running.item(), total.item() / len(train.labels), first.item()


@torch.no_grad()
def validate(model: nn.Module, val: Resident) -> tuple[float, float]:
    """Mean loss over the images, and the share of them classified rightly."""
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=val.labels.device)
    right = torch.zeros((), dtype=torch.int64, device=val.labels.device)
    for images, labels in val.batches(None, VALIDATION_BATCH):
        scores = model(images)
        loss += F.cross_entropy(scores, labels, reduction="sum")
        right += (scores.argmax(1) == labels).sum()
    return loss.item() / len(val.labels), right.item() / len(val.labels)
