"""An optimizer of your own: the step has the size of the rate, whatever the gradient's size.

    python -m sweeps.run --dataset digits --epochs 5 --trials 20 --space examples/own_optimizer.toml

The space names it beside SGD, with rates that suit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class SignSGD(torch.optim.Optimizer):
    """Each weight goes one step against the sign of its smoothed gradient.

    Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, 2018.

    Args:
        params: as any optimizer of torch takes them.
        lr: the size of a step.
        momentum: share of the smoothed gradient that stays from step to step.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step; what it remembers lies in `state`, so that stored epochs have it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                smoothed = self.state[weight].setdefault("smoothed", torch.zeros_like(weight))
                smoothed.lerp_(weight.grad, 1 - group["momentum"])
                weight.sub_(smoothed.sign(), alpha=group["lr"])
        return loss
