"""Optimizers by their torch.optim name, and the rates torch's own scheduler gives each epoch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.optim.lr_scheduler import StepLR

from trainer.errors import ConfigError, unknown


def optimizer_names() -> list[str]:
    """The classes of `torch.optim` that can be asked for by name."""
    return sorted(
        name
        for name, item in vars(torch.optim).items()
        if inspect.isclass(item)
        and issubclass(item, torch.optim.Optimizer)
        and item is not torch.optim.Optimizer
    )


def check_optimizer(name: str, args: Mapping[str, Any]) -> None:
    """Take one step with it on a stand-in convolution, so that what torch refuses is known at once.

    Raises:
        ConfigError: no such class or argument, a value torch refuses, or an optimizer that cannot
            train a dense model with plain steps.
    """
    if name not in optimizer_names():
        raise ConfigError(unknown("optimizer", name, optimizer_names()))
    known = [item for item in _signature(name) if item not in ("params", "lr")]
    for arg in args:
        if arg not in known:
            raise ConfigError(unknown(f"argument of {name}", arg, known))
    try:
        _frozen(args)  # keys and config.json have them as JSON
        _step_on_stand_in(name, dict(args))
    except Exception as error:  # torch refuses with ValueError, RuntimeError, TypeError, ...
        given = ", ".join(f"{key}={value!r}" for key, value in args.items())
        raise ConfigError(f"{name}({given}) cannot train this model: {error}") from error


def build_optimizer(
    name: str, params: Iterable[torch.nn.Parameter], lr: float, args: Mapping[str, Any], device: str
) -> torch.optim.Optimizer:
    """The optimizer over `params`; fused where torch has that and nobody said otherwise."""
    return _construct(name, params, lr, dict(args) | _implementation(name, _frozen(args), device))


def rates(
    name: str,
    args: Mapping[str, Any],
    lr: float,
    step_size: int,
    gamma: float,
    epochs: int,
    device: str,
) -> tuple[dict[str, Any], ...]:
    """Every scalar of the parameter group in force in epochs 1 to `epochs`.

    torch's StepLR does the arithmetic, on a stand-in optimizer of the same class, so that the
    values are those of a loop that steps the scheduler, to the last bit.
    """
    optimizer = build_optimizer(name, _stand_in(device), lr, args, device)
    group = optimizer.param_groups[0]
    names = [item for item in group if item != "params"]  # before StepLR adds its own
    scheduler = StepLR(optimizer, step_size, gamma)
    in_force = []
    for _ in range(epochs):
        in_force.append({item: group[item] for item in names})
        optimizer.step()
        scheduler.step()
    return tuple(in_force)


def moved(in_force: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the scalars that a schedule changes over these epochs, and `lr`."""
    changed = (name for rate in in_force for name in rate if rate[name] != in_force[0][name])
    return frozenset({"lr", *changed})


def set_rates(
    optimizer: torch.optim.Optimizer, scalars: Mapping[str, Any], names: Collection[str]
) -> None:
    """Put the scalars of these `names` in force; what an optimizer keeps for itself stays."""
    for group in optimizer.param_groups:
        group.update({name: scalars[name] for name in names})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict`, with each state tensor in the type it was saved in.

    torch casts them to the type of the parameter, which would round them.
    """
    optimizer.load_state_dict(state)
    by_index = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    for index, saved in state["state"].items():
        for name, value in saved.items():
            loaded = optimizer.state[by_index[index]].get(name)
            if (
                isinstance(value, torch.Tensor)
                and loaded is not None
                and loaded.dtype != value.dtype
            ):
                optimizer.state[by_index[index]][name] = value.to(loaded.device)


def _signature(name: str) -> list[str]:
    return list(inspect.signature(getattr(torch.optim, name)).parameters)


def _construct(
    name: str, params: Iterable[torch.nn.Parameter], lr: float, args: dict[str, Any]
) -> torch.optim.Optimizer:
    args = {key: tuple(item) if isinstance(item, list) else item for key, item in args.items()}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(params, lr=lr, **args)
    return optimizer


def _stand_in(device: str) -> list[torch.nn.Parameter]:
    weights = [
        torch.nn.Parameter(torch.zeros(shape, device=device)) for shape in ((1, 1, 1, 1), (1,))
    ]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    return weights


def _step_on_stand_in(name: str, args: dict[str, Any], device: str = "cpu") -> None:
    _construct(name, _stand_in(device), 0.01, args).step()


def _frozen(args: Mapping[str, Any]) -> str:
    return json.dumps(dict(args), sort_keys=True)


@lru_cache
def _implementation(name: str, args: str, device: str) -> dict[str, bool]:
    """{"fused": True} where that works, {} where torch has no such thing or the user chose."""
    given = json.loads(args)
    if "fused" not in _signature(name) or given.keys() & {"fused", "foreach", "differentiable"}:
        return {}
    try:
        _step_on_stand_in(name, given | {"fused": True}, device)
    except (RuntimeError, ValueError):
        return {}
    return {"fused": True}
