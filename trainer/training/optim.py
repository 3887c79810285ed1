"""Optimizers: looked up by name, checked before training, set to the epoch's learning rates."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from trainer.errors import ConfigError, unknown
from trainer.settings.config import near_field
from trainer.settings.references import find, is_reference


def optimizer_names() -> list[str]:
    """Names of the optimizer classes in `torch.optim`."""
    return sorted(
        name
        for name, item in vars(torch.optim).items()
        if inspect.isclass(item)
        and issubclass(item, torch.optim.Optimizer)
        and item is not torch.optim.Optimizer
    )


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer class and its arguments, looked up but not yet constructed.

    Attributes:
        name: a class of `torch.optim`, or a reference to user code.
        make: the class.
        frozen_args: the arguments that differ from the defaults of the class, as JSON.
    """

    name: str
    make: Any
    frozen_args: str

    @property
    def args(self) -> dict[str, Any]:
        """The arguments that differ from the defaults of the class."""
        args: dict[str, Any] = json.loads(self.frozen_args)
        return args

    def build(self, params: Iterable[Any], lr: float, device: str) -> torch.optim.Optimizer:
        """Construct it over parameters or groups of them.

        Fused where torch can and the arguments leave it open.
        """
        return _construct(self.make, params, lr, self.args | _implementation(self, device))

    def check(self, *, dense: bool = True) -> None:
        """Check the arguments and take a step, so that torch's objections are known early.

        Args:
            dense: take the step on a stand-in convolution, as the built-in networks have.

        Raises:
            ConfigError: unknown argument, a value that torch refuses, or an optimizer that cannot
                train a dense model with plain steps.
        """
        parameters = _signature(self.make)
        known = [item for item in parameters if item not in ("params", "lr")]
        takes_any = any(item.kind == item.VAR_KEYWORD for item in parameters.values())
        if "lr" not in parameters and not takes_any:
            raise ConfigError(
                f"An optimizer must take lr, but {self.name} takes {', '.join(parameters)}."
            )
        for arg in self.args:
            if arg not in known and not takes_any:
                near = near_field(arg)
                also = {arg: near} if near else {}
                raise ConfigError(unknown(f"argument of {self.name}", arg, known, also=also))
        if dense:
            self.check_fits([torch.zeros(shape) for shape in ((1, 1, 1, 1), (1,))])
        else:
            self.check_fits([stand_in("cpu").detach()])

    def check_fits(self, weights: Iterable[torch.Tensor]) -> None:
        """Take a step on copies of the weights.

        Raises:
            ConfigError: the optimizer refuses them; with its own reason.
        """
        try:
            copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
            _step(_construct(self.make, copies, 0.01, self.args), copies)
        except Exception as error:  # torch refuses with ValueError, RuntimeError, TypeError, ...
            words = ", ".join(f"{key}={value!r}" for key, value in self.args.items())
            raise ConfigError(f"{self.name}({words}) cannot train this model: {error}") from error

    def check_groups(self, model: torch.nn.Module) -> None:
        """Construct it over the model's own parameter groups.

        Raises:
            ConfigError: the optimizer refuses them; with its own reason.
        """
        groups = parameters_of(model, 0.01)
        try:
            _construct(self.make, groups, 0.01, self.args)
        except Exception as error:
            raise ConfigError(
                f"{self.name} must take what param_groups of {type(model).__name__} returns, but: "
                f"{error}"
            ) from error

    @property
    def takes_channels_last(self) -> bool:
        """Whether it can train channels-last weights; LBFGS, say, views them flat."""
        return _takes_channels_last(self)


def find_optimizer(name: str, args: Mapping[str, Any]) -> OptimizerSpec:
    """Look up a class of `torch.optim`, or what a reference names.

    Raises:
        ConfigError: no such class, or arguments that JSON cannot hold.
    """
    if is_reference(name):
        make = find("optimizer", name)
    elif name in optimizer_names():
        make = getattr(torch.optim, name)
    else:
        raise ConfigError(unknown("optimizer", name, (*optimizer_names(), "package.module:name")))
    try:  # keys and config.json have them as JSON
        return OptimizerSpec(name, make, json.dumps(_without_defaults(make, args), sort_keys=True))
    except TypeError as error:
        words = ", ".join(f"{key}={value!r}" for key, value in args.items())
        raise ConfigError(f"{name}({words}) must have plain values: {error}.") from error


def has_groups(model: torch.nn.Module) -> bool:
    """Whether a model makes its own parameter groups, by a method `param_groups(lr)`."""
    return callable(getattr(type(model), "param_groups", None))


def parameters_of(model: Any, lr: float) -> list[Any]:
    """What an optimizer is constructed over: the model's own groups, or all its parameters.

    Raises:
        ConfigError: the model's method raises, or returns no groups.
    """
    if not has_groups(model):
        return list(model.parameters())
    try:
        return [{**group, "params": list(group["params"])} for group in model.param_groups(lr)]
    except Exception as error:  # a user's method can raise anything
        raise ConfigError(
            f"param_groups({lr:g}) of {type(model).__name__} must return a list of dicts as "
            f"torch.optim takes it, but: {type(error).__name__}: {error}."
        ) from error


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` requires a closure that evaluates the loss again, as LBFGS does."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def set_mode(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Call the optimizer's `train` or `eval`, if it keeps two sets of weights (schedulefree).

    Defazio et al., The Road Less Scheduled, https://arxiv.org/abs/2405.15682
    """
    change = getattr(optimizer, mode, None)
    if callable(change):
        change()


def set_rates(optimizer: torch.optim.Optimizer, scalars: Sequence[Mapping[str, Any]]) -> None:
    """Set scheduled values in each parameter group; other entries are never overwritten."""
    for group, own in zip(optimizer.param_groups, scalars, strict=True):
        group.update(own)


def plain_scalars(group: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a parameter group that are plain values, by name."""
    return {name: it for name, it in group.items() if name != "params" and is_plain(it)}


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict` that keeps the dtype of each saved tensor.

    torch casts them to the dtype of the parameter, which would round them.
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
    """Whether it is a number, string, bool, None, or a sequence of such."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def stand_in(device: str) -> torch.nn.Parameter:
    """A small matrix with a gradient of zeros, which every optimizer accepts."""
    weight = torch.nn.Parameter(torch.zeros((2, 2), device=device))
    weight.grad = torch.zeros_like(weight)
    return weight


def _signature(make: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(make).parameters


def _construct(
    make: Any, params: Iterable[Any], lr: float, args: Mapping[str, Any]
) -> torch.optim.Optimizer:
    args = {key: _tuples(item) for key, item in args.items()}
    optimizer: torch.optim.Optimizer = make(params, lr=lr, **args)
    return optimizer


def _tuples(value: Any) -> Any:
    """Lists of JSON and TOML as the tuples that torch expects."""
    return tuple(value) if isinstance(value, list) else value


def _step(optimizer: torch.optim.Optimizer, weights: Iterable[torch.nn.Parameter]) -> None:
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    set_mode(optimizer, "train")
    optimizer.step(lambda: 0.0)


def _without_defaults(make: Any, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that differ from the defaults, so that naming a default changes no key."""
    defaults = {key: item.default for key, item in _signature(make).items()}
    return {
        key: value
        for key, value in args.items()
        if not (is_plain(defaults.get(key, _signature)) and _tuples(value) == defaults[key])
    }


@lru_cache
def _takes_channels_last(spec: OptimizerSpec) -> bool:
    weight = torch.nn.Parameter(torch.zeros((2, 2, 2, 2)).to(memory_format=torch.channels_last))
    try:
        _step(_construct(spec.make, [weight], 0.01, spec.args), [weight])
    except (RuntimeError, ValueError):
        return False
    return True


@lru_cache
def _implementation(spec: OptimizerSpec, device: str) -> dict[str, bool]:
    """{"fused": True} where the device can do it and the arguments leave it open, else {}."""
    chosen = spec.args.keys() & {"fused", "foreach", "differentiable"}
    if "fused" not in _signature(spec.make) or chosen:
        return {}
    try:
        weight = stand_in(device)
        _step(_construct(spec.make, [weight], 0.01, spec.args | {"fused": True}), [weight])
    except (RuntimeError, ValueError):
        return {}
    return {"fused": True}
