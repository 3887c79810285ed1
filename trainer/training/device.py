"""Device choice, the platform facts that determine bits, and determinism settings."""

from __future__ import annotations

import os
import platform as machine
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch

from trainer.errors import ConfigError

_KERNEL_VARIABLES = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def resolve_device(name: str) -> str:
    """Turn "auto" into "cuda" where there is a GPU, else "cpu"; other names stay.

    Raises:
        ConfigError: "cuda" was requested and there is no GPU.
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


def assume_platform(facts: Mapping[str, str] | None) -> None:
    """Let `platform` return these facts, those of the machines that train; None: of this one."""
    global _assumed
    _assumed = facts


_assumed: Mapping[str, str] | None = None


def platform(device: str) -> dict[str, str]:
    """Facts of this machine and its environment that determine the bits of a training on `device`.

    Libraries choose kernels by the processor, and some environment variables override that choice.
    Where other machines train, the facts are theirs: see `assume_platform`.
    """
    if _assumed is not None:
        return dict(_assumed)
    facts = {"torch": torch.__version__, "machine": machine.machine()}
    facts |= {name: os.environ[name] for name in _KERNEL_VARIABLES if name in os.environ}
    if device == "cuda":
        return facts | {
            "gpu": torch.cuda.get_device_name(),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        }
    return facts | {"cpu": torch.backends.cpu.get_cpu_capability(), "processor": _processor()}


def set_determinism(device: str, threads: int, *, deterministic: bool = True) -> None:
    """Set every global option of torch that changes results, as user code may have changed some.

    All are torch's defaults, except for the number of threads and, on a GPU, the algorithms.
    """
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    if device == "cuda":
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.backends.cudnn.allow_tf32 = True
        torch.use_deterministic_algorithms(deterministic)
        # filling memory is slow, and nothing reads it unfilled; torch declares no such attribute
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False


def synchronize(device: str) -> None:
    """Wait until all work queued on the device is done, so that elapsed time can be measured."""
    if device == "cuda":
        torch.cuda.synchronize()


@cache
def _processor() -> str:
    """The name of the processor, from Linux or else from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    return found[1] if found else machine.processor() or "unknown"
