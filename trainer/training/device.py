"""What runs the numbers: the device, what of it determines the bits, and how to hold it still."""

from __future__ import annotations

import os
import platform as machine

import torch

from trainer.errors import ConfigError


def resolve_device(name: str) -> str:
    """Turn "auto" into "cuda" where there is a GPU, else "cpu"; other names stay.

    Raises:
        ConfigError: "cuda" was asked for and there is no GPU.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device must be one this machine has, but got 'cuda'; use 'auto' or 'cpu'."
        )
    return name


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return chosen.split(",")[:count] if chosen else [str(index) for index in range(count)]


def platform(device: str) -> dict[str, str]:
    """What of this machine determines the bits that training gives on `device`."""
    facts = {"torch": torch.__version__, "machine": machine.machine()}
    if device == "cuda":
        return facts | {
            "gpu": torch.cuda.get_device_name(),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        }
    return facts | {"cpu": torch.backends.cpu.get_cpu_capability()}


def hold_still(device: str, threads: int, *, deterministic: bool = True) -> None:
    """Make this process give the same bits each time: thread count, and on a GPU its algorithms."""
    torch.set_num_threads(threads)
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        # filling memory is slow, and nothing reads it unfilled; torch declares no such attribute
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False


def synchronize(device: str) -> None:
    """Wait until the device has done all it was given, so that a clock can be read."""
    if device == "cuda":
        torch.cuda.synchronize()
