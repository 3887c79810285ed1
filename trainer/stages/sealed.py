"""How results and states are stored: with checksums, and without what could run as code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainer.metrics import EpochResult

_CHECKSUM = "sha256"  # its name in the JSON of a result
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def sealed(result: EpochResult) -> bytes:
    """A result as it is stored: its JSON, with the checksum of that as a further value."""
    values = asdict(result)
    return json.dumps(values | {_CHECKSUM: _checksum(values)}).encode()


def unsealed(blob: bytes) -> EpochResult:
    """The result; one that was stored before results had checksums has none to check.

    Raises:
        ValueError: it is damaged.
    """
    values = json.loads(blob)
    if not isinstance(values, dict) or values.pop(_CHECKSUM, None) not in (None, _checksum(values)):
        raise ValueError("not a result that was stored")
    return EpochResult.from_json(json.dumps(values))


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def packed(state: dict[str, Any]) -> bytes:
    """A state as it is stored, without its checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, Any]:
    """The state, on the CPU.

    Raises:
        pickle.UnpicklingError: it has other things than tensors, numbers and texts.
    """
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def sealed_state(state: dict[str, Any]) -> bytes:
    """A state as it is stored: its checksum, then its content."""
    content = packed(state)
    return hashlib.sha256(content).digest() + content


def content_of(blob: bytes) -> bytes:
    """The content of a stored state.

    Raises:
        pickle.UnpicklingError: it is damaged.
    """
    checksum, content = blob[:_CHECKSUM_BYTES], blob[_CHECKSUM_BYTES:]
    if hashlib.sha256(content).digest() != checksum:
        raise pickle.UnpicklingError
    return content


def read_saved(path: Path) -> Any:
    """What `torch.save` wrote into a file, on the CPU.

    The checksums in the file are compared, which `torch.load` does not do.

    Raises:
        pickle.UnpicklingError: it is damaged, or has other things than tensors, numbers and texts.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make zipfile and torch raise nearly anything
        raise pickle.UnpicklingError(f"{path} cannot be read.") from error
    if damaged is not None:
        raise pickle.UnpicklingError(f"{damaged} in {path} has another checksum.")
    return saved
