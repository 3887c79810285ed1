"""Optimizers by name: made, checked before they train, told their rates, loaded to the bit."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from trainer.errors import ConfigError, unknown
from trainer.settings.config import NICKNAMES
from trainer.settings.references import find, is_reference


def optimizer_names() -> list[str]:
    """The classes of `torch.optim` that can be asked for by name."""
    return sorted(
        name
        for name, item in vars(torch.optim).items()
        if inspect.isclass(item)
        and issubclass(item, torch.optim.Optimizer)
        and item is not torch.optim.Optimizer
    )


def check_optimizer(name: str, args: Mapping[str, Any], *, dense: bool = True) -> None:
    """Make it, so that what torch refuses is known before anything trains.

    Args:
        name: of a class in `torch.optim`, or a reference to another one.
        args: its further arguments.
        dense: take a step on a stand-in convolution too, as the networks here have them.

    Raises:
        ConfigError: no such class or argument, a value torch refuses, or an optimizer that cannot
            train a dense model with plain steps.
    """
    parameters = _signature(_class_of(name))
    known = [item for item in parameters if item not in ("params", "lr")]
    takes_any = any(item.kind == item.VAR_KEYWORD for item in parameters.values())
    if "lr" not in parameters and not takes_any:
        raise ConfigError(f"An optimizer must take lr, but {name} takes {', '.join(parameters)}.")
    for arg in args:
        if arg not in known and not takes_any:
            raise ConfigError(unknown(f"argument of {name}", arg, known, also=NICKNAMES))
    try:
        _frozen(args)  # keys and config.json have them as JSON
    except TypeError as error:
        raise ConfigError(f"{name}({_words(args)}) must have plain values: {error}.") from error
    if dense:
        check_fits(name, args, [torch.zeros(shape) for shape in ((1, 1, 1, 1), (1,))])
    else:
        check_fits(name, args, [stand_in("cpu").detach()])


def check_fits(name: str, args: Mapping[str, Any], weights: Iterable[torch.Tensor]) -> None:
    """Take a step on copies of the weights.

    Raises:
        ConfigError: the optimizer refuses them; with its own reason.
    """
    try:
        copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
        _step(_construct(_class_of(name), copies, 0.01, args), copies)
    except Exception as error:  # torch refuses with ValueError, RuntimeError, TypeError, ...
        raise ConfigError(f"{name}({_words(args)}) cannot train this model: {error}") from error


def build_optimizer(
    name: str, params: Iterable[torch.nn.Parameter], lr: float, args: Mapping[str, Any], device: str
) -> torch.optim.Optimizer:
    """The optimizer over `params`; fused where torch has that and nobody said otherwise."""
    make, args = _class_of(name), without_defaults(name, args)
    return _construct(make, params, lr, args | _implementation(make, _frozen(args), device))


def without_defaults(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not what the class takes anyway, so that saying so changes nothing."""
    defaults = {key: item.default for key, item in _signature(_class_of(name)).items()}
    return {
        key: value
        for key, value in args.items()
        if not (is_plain(defaults.get(key, _signature)) and _tuples(value) == defaults[key])
    }


def takes_channels_last(name: str, args: Mapping[str, Any]) -> bool:
    """Whether it can train weights that lie channels last; LBFGS, say, wants to view them flat."""
    return _takes_channels_last(_class_of(name), _frozen(args))


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its `step` must be given the loss as a function to evaluate again, as LBFGS's."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def set_mode(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Call the optimizer's own "train" or "eval", where it has two sets of weights (schedulefree).

    Defazio et al., The Road Less Scheduled, https://arxiv.org/abs/2405.15682
    """
    change = getattr(optimizer, mode, None)
    if callable(change):
        change()


def set_rates(optimizer: torch.optim.Optimizer, scalars: Sequence[Mapping[str, Any]]) -> None:
    """Put the scalars of each group in force; what an optimizer keeps for itself there stays."""
    for group, own in zip(optimizer.param_groups, scalars, strict=True):
        group.update(own)


def plain_scalars(group: Mapping[str, Any]) -> dict[str, Any]:
    """What of a parameter group is a number, a text, and the like, by name."""
    return {name: it for name, it in group.items() if name != "params" and is_plain(it)}


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


def is_plain(value: object) -> bool:
    """Whether it is a number, a text, a truth value, nothing, or a sequence of such."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def stand_in(device: str) -> torch.nn.Parameter:
    """A small matrix, which every optimizer takes, with a gradient of zeros."""
    weight = torch.nn.Parameter(torch.zeros((2, 2), device=device))
    weight.grad = torch.zeros_like(weight)
    return weight


def _class_of(name: str) -> Any:
    if is_reference(name):
        return find("optimizer", name)
    if name not in optimizer_names():
        raise ConfigError(unknown("optimizer", name, (*optimizer_names(), "package.module:name")))
    return getattr(torch.optim, name)


def _signature(make: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(make).parameters


def _construct(
    make: Any, params: Iterable[torch.nn.Parameter], lr: float, args: Mapping[str, Any]
) -> torch.optim.Optimizer:
    args = {key: _tuples(item) for key, item in args.items()}
    optimizer: torch.optim.Optimizer = make(params, lr=lr, **args)
    return optimizer


def _tuples(value: Any) -> Any:
    """As torch wants it where JSON and TOML have lists."""
    return tuple(value) if isinstance(value, list) else value


def _step(optimizer: torch.optim.Optimizer, weights: Iterable[torch.nn.Parameter]) -> None:
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    set_mode(optimizer, "train")
    optimizer.step(lambda: 0.0)


def _words(args: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in args.items())


def _frozen(args: Mapping[str, Any]) -> str:
    return json.dumps(dict(args), sort_keys=True)


@lru_cache
def _takes_channels_last(make: Any, args: str) -> bool:
    weight = torch.nn.Parameter(torch.zeros((2, 2, 2, 2)).to(memory_format=torch.channels_last))
    try:
        _step(_construct(make, [weight], 0.01, json.loads(args)), [weight])
    except (RuntimeError, ValueError):
        return False
    return True


@lru_cache
def _implementation(make: Any, args: str, device: str) -> dict[str, bool]:
    """{"fused": True} where that works, {} where torch has no such thing or the user chose."""
    given = json.loads(args)
    if "fused" not in _signature(make) or given.keys() & {"fused", "foreach", "differentiable"}:
        return {}
    try:
        weight = stand_in(device)
        _step(_construct(make, [weight], 0.01, given | {"fused": True}), [weight])
    except (RuntimeError, ValueError):
        return {}
    return {"fused": True}
