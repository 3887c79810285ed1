"""The training loop over one epoch, and the validation after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
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
    accumulate: int = 1,
    after_step: Callable[[], object] = lambda: None,
) -> tuple[float, float, float]:
    """One pass over the training data.

    Args:
        model: on its device.
        optimizer: over the model's parameters, with the epoch's learning rates set.
        batches: inputs and targets, at least one pair.
        loss: mean over a batch.
        rates: values to set before each step, by parameter group, where they change within the
            epoch.
        clip_grad_norm: norm that all gradients together are clipped to; None: not clipped.
        accumulate: batches whose gradients are averaged for a step, each by its share of their
            examples; the last step of the epoch may have fewer.
        after_step: called after each step of the optimizer.

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

    def backward(group: Sequence[Batch]) -> list[Tensor]:
        """Mean loss of each batch, with the gradients of all."""
        optimizer.zero_grad(set_to_none=True)
        values = []
        for (inputs, targets), share in zip(group, _shares(group), strict=True):
            batch_loss = loss(model(inputs), targets)
            values.append(batch_loss.detach())
            (batch_loss * share if len(group) > 1 else batch_loss).backward()  # type: ignore[no-untyped-call]
        if clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_grad_norm)
        return values

    for number, group in enumerate(_groups(batches, accumulate)):
        if rates:
            set_rates(optimizer, rates[number])
        if evaluates_again:
            values = _step_with_closure(optimizer, partial(backward, group), _shares(group))
        else:
            values = backward(group)
            optimizer.step()
        after_step()
        first = values[0] if first is None else first
        for value, (_, targets) in zip(values, group, strict=True):
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


def _groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """So many batches at a time; the last group may have fewer."""
    source = iter(batches)
    while group := list(islice(source, size)):
        yield group


def _shares(group: Sequence[Batch]) -> list[float]:
    """The share of each batch in the examples of all."""
    sizes = [len(targets) for _, targets in group]
    return [size / sum(sizes) for size in sizes]


def _step_with_closure(
    optimizer: torch.optim.Optimizer, backward: Callable[[], list[Tensor]], shares: Sequence[float]
) -> list[Tensor]:
    """Take a step that evaluates the losses several times; return those of the first time."""
    values: list[list[Tensor]] = []

    def closure() -> Tensor:
        values.append(backward())
        first, *others = (value * it for value, it in zip(values[-1], shares, strict=True))
        return sum(others, first)

    optimizer.step(closure)  # type: ignore[arg-type] # torch asks for a float and takes a tensor
    return values[0]
