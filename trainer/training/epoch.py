"""The training loop over one epoch, and the validation after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainer.training.loss import Loss, total_loss
from trainer.training.optim import needs_closure, set_mode, set_rates

VALIDATION_BATCH = 500
"""Examples per batch of validation; part of the numerics."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Examples on the device.

    Attributes:
        images: uint8 images N x H x W x C, or other inputs as float32 or int64.
        labels: N classes (int64), or N x K targets of a regression (float32).
    """

    images: Tensor
    labels: Tensor

    def batches(
        self,
        order: Tensor | None,
        size: int,
        transform: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> Iterator[Batch]:
        """Pairs of inputs and labels of a batch (of B examples).

        Images become B x C x H x W (float32, 0 to 1, channels last) and go through `transform`;
        other inputs are passed on unchanged.

        Args:
            order: indices of the examples; None: in stored order.
            size: examples per batch; the last batch may have fewer.
            transform: applied to the images of each batch.
        """
        for start in range(0, len(self.labels), size):
            chosen = slice(start, start + size) if order is None else order[start : start + size]
            inputs, labels = self.images[chosen], self.labels[chosen]
            if order is None:  # slices are views, and a model or loss may change them in place
                inputs, labels = inputs.clone(), labels.clone()
            if inputs.dtype == torch.uint8:
                inputs = transform(inputs.permute(0, 3, 1, 2).to(torch.float32).div_(255))
            yield inputs, labels


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    loss: Loss,
    rates: Sequence[Sequence[Mapping[str, Any]]] = (),
    clip_grad_norm: float | None = None,
) -> tuple[float, float, float]:
    """One pass over the training data.

    Args:
        model: on its device.
        optimizer: over the model's parameters, with the epoch's learning rates set.
        batches: inputs and targets, at least one pair.
        loss: mean over a batch.
        rates: values to set before each batch, by parameter group, where they change within the
            epoch.
        clip_grad_norm: norm that all gradients together are clipped to; None: not clipped.

    Returns:
        The sum over batches of their mean losses, the mean loss over examples, and the mean loss of
        the first batch.
    """
    model.train()
    set_mode(optimizer, "train")
    device = next(model.parameters()).device
    running = torch.zeros((), dtype=torch.float64, device=device)
    total = torch.zeros_like(running)
    first: Tensor | None = None
    count = 0
    evaluates_again = needs_closure(optimizer)

    def backward(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        batch_loss = loss(model(inputs), targets)
        batch_loss.backward()  # type: ignore[no-untyped-call]
        if clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_grad_norm)
        return batch_loss.detach()

    for number, (inputs, targets) in enumerate(batches):
        if rates:
            set_rates(optimizer, rates[number])
        if evaluates_again:
            value = _step_with_closure(optimizer, partial(backward, inputs, targets))
        else:
            value = backward(inputs, targets)
            optimizer.step()
        first = value if first is None else first
        running += value
        total += value * len(targets)
        count += len(targets)
    assert first is not None, "a data set has at least one example"
    return running.item(), total.item() / count, first.item()


@torch.no_grad()
def validate(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    loss: Loss,
    each: Callable[[Tensor, Tensor], object] = lambda outputs, targets: None,
) -> tuple[float, float]:
    """Mean loss over the examples, and accuracy; NaN where the labels are not classes.

    `each` is called with the outputs and targets of each batch.
    """
    model.eval()
    set_mode(optimizer, "eval")
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    count, classified = 0, True
    for inputs, labels in batches:
        scores = model(inputs)
        total += total_loss(loss, scores, labels)
        each(scores, labels)
        classified = classified and labels.dtype == torch.int64 and scores.ndim == 2
        if classified:
            right += (scores.argmax(1) == labels).sum()
        count += len(labels)
    return total.item() / count, right.item() / count if classified else math.nan


def _step_with_closure(optimizer: torch.optim.Optimizer, backward: Callable[[], Tensor]) -> Tensor:
    """Take a step that evaluates the loss several times; return the first of these losses."""
    values: list[Tensor] = []

    def closure() -> Tensor:
        values.append(backward())
        return values[-1]

    optimizer.step(closure)  # type: ignore[arg-type] # torch asks for a float and takes a tensor
    return values[0]
