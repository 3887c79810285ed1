"""Metrics that users bring: of the outputs and targets of all validation data, in every epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import ConfigError, unknown
from trainer.settings.config import TrainConfig
from trainer.settings.references import find, restore_globals

Metric = Callable[[Tensor, Tensor], Any]
"""A function of outputs and targets, on the CPU, that returns a number."""

_TRUE = "y_true"
_CLASSES = "y_pred"
_SCORES = ("y_score", "y_prob", "y_proba")
"""Names by which scikit-learn's functions take targets, and classes or scores."""


def find_metrics(config: TrainConfig) -> dict[str, Metric]:
    """Look up the metrics of a config, by name.

    Raises:
        ConfigError: one is missing, is neither a function nor a class with update and compute, or
            does not take its arguments.
    """
    return {name: _find(name, it, config.metric_args) for name, it in config.metrics.items()}


class Measurement:
    """Outputs and targets of the validation data, and what the metrics of the user's make of them.

    Args:
        metrics: by name; without any, nothing is kept.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Keep a batch, on the CPU."""
        self._outputs.append(outputs.cpu())
        self._targets.append(targets.cpu())

    def values(self, *, is_valid: bool = True) -> dict[str, float]:
        """The metrics by name.

        Args:
            is_valid: whether losses are finite; otherwise the metrics are NaN without a call, as
                most refuse what a diverged model puts out.

        Raises:
            ConfigError: a metric raises, or returns no number.
        """
        if not self._metrics or not is_valid:
            return dict.fromkeys(self._metrics, math.nan)
        outputs, targets = torch.cat(self._outputs), torch.cat(self._targets)
        return {name: _value(name, it, outputs, targets) for name, it in self._metrics.items()}


def _value(name: str, metric: Metric, outputs: Tensor, targets: Tensor) -> float:
    try:
        with restore_globals():
            got = metric(outputs.clone(), targets.clone())
        value = got.item() if isinstance(got, (Tensor, np.ndarray, np.generic)) else got
    except Exception as error:  # user code can raise anything
        raise ConfigError(
            f"metric {name} must return a number, but: {type(error).__name__}: "
            f"{' '.join(str(error).split())}"
        ) from error
    if not isinstance(value, (int, float)):
        raise ConfigError(f"metric {name} must return a number, but returned {got!r}.")
    return float(value)


def _find(name: str, reference: str, every: Mapping[str, Any]) -> Metric:
    found = find(f"metric {name}", reference)
    args = {it.partition(".")[2]: arg for it, arg in every.items() if it.startswith(f"{name}.")}
    is_class = inspect.isclass(found)
    has_both = all(callable(getattr(found, it, None)) for it in ("update", "compute"))
    if is_class != has_both or not callable(found):
        raise ConfigError(
            f"metric {name} must be a function, or a class with the methods update and compute, "
            f"but {reference} is {found!r}."
        )
    parameters = _parameters(found)
    takes_any = any(it.kind == it.VAR_KEYWORD for it in parameters.values())
    for arg in args:
        if arg not in parameters and not takes_any:
            raise ConfigError(unknown(f"argument of metric {name}", arg, parameters))
    if is_class:
        _constructed(name, found, args)  # so that its objections are known early
        return lambda outputs, targets: _computed(name, found, args, outputs, targets)
    if _TRUE in parameters:
        return lambda outputs, targets: found(**_as_sklearn(parameters, outputs, targets), **args)
    return lambda outputs, targets: found(outputs, targets, **args)


def _parameters(found: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):  # of a function written in C
        return {"args": inspect.Parameter("args", inspect.Parameter.VAR_KEYWORD)}


def _constructed(name: str, make: Any, args: Mapping[str, Any]) -> Any:
    try:
        with restore_globals():
            return make(**args)
    except Exception as error:  # user code can raise anything
        words = ", ".join(f"{it}={value!r}" for it, value in args.items())
        raise ConfigError(
            f"metric {name} must be constructed by {make.__name__}({words}), but: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def _computed(
    name: str, make: Any, args: Mapping[str, Any], outputs: Tensor, targets: Tensor
) -> Any:
    metric = _constructed(name, make, args)
    metric.update(outputs, targets)
    return metric.compute()


def _as_sklearn(
    parameters: Mapping[str, inspect.Parameter], outputs: Tensor, targets: Tensor
) -> dict[str, Any]:
    """Arguments by the names that scikit-learn gives them; classes where it asks for `y_pred`."""
    name = next((it for it in (_CLASSES, *_SCORES) if it in parameters), _CLASSES)
    are_classes = targets.dtype == torch.int64 and outputs.ndim == 2
    given = outputs.argmax(1) if name == _CLASSES and are_classes else outputs
    return {_TRUE: targets.numpy(), name: given.numpy()}
