"""States of a training between two epochs: what they may hold, and their digest."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

_DICTS = (dict, OrderedDict)
_PLAIN = (bool, int, float, str, bytes, type(None))
_ARRAY = "__numpy__"
"""The only key of a dict that stands for an array: torch loads tensors without pickle, but no
arrays."""


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state: every tensor (dtype, shape, bits) and value, in order of names."""
    total = hashlib.sha256()
    _feed(total, state)
    return total.hexdigest()


def foreign(value: object, where: str = "") -> Iterator[str]:
    """Values that torch would refuse to load, each as "place (type)"."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            place = f"{where}.{name}" if where else str(name)
            if not isinstance(name, (str, int)):
                yield f"the key {place} ({_kind(name)})"
            yield from foreign(item, place)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from foreign(item, f"{where}.{number}")
    elif not isinstance(value, torch.Tensor) and type(value) not in _PLAIN:
        yield f"{where} ({_kind(value)})"


def storable(value: Any) -> Any:
    """The value with each array of numbers, and each number of NumPy's, as a tensor."""
    if isinstance(value, Mapping):
        changed = {name: storable(item) for name, item in value.items()}
        is_same = type(value) in _DICTS and all(changed[it] is value[it] for it in changed)
        return value if is_same else changed  # a module's state keeps its `_metadata`
    if isinstance(value, (list, tuple)):
        items = [storable(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        array = np.array(value, order="C")  # a copy, which may be written to
        is_array = isinstance(value, np.ndarray)
        facts = [str(array.dtype), list(array.shape), is_array]
        return {_ARRAY: [*facts, torch.from_numpy(array.reshape(-1).view(np.uint8))]}
    return value


def restored(value: Any) -> Any:
    """What `storable` was given, with arrays as they were, to the bit."""
    if isinstance(value, Mapping):
        if value.keys() == {_ARRAY}:
            kind, shape, is_array, bits = value[_ARRAY]
            array = bits.numpy().copy().view(kind).reshape(shape)
            return array if is_array else array[()]
        changed = {name: restored(item) for name, item in value.items()}
        return value if all(changed[it] is value[it] for it in changed) else changed
    if isinstance(value, (list, tuple)):
        items = [restored(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _feed(total: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name in sorted(value, key=str):
            total.update(f"{name}:".encode())
            _feed(total, value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(total, item)
    elif isinstance(value, torch.Tensor):
        total.update(f"{value.dtype}{tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    else:
        total.update(f"{value!r};".encode())
