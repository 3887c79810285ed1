"""What this machine has: versions, devices, disk."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("sweeps", "torch", "torchvision", "optuna", "mlflow", "pandas")


def describe(root: Path) -> Iterator[str]:
    """Versions, devices, and the space left on the disk of a folder, for people."""
    import torch

    from sweeps.engine.workspace import cores

    yield ", ".join(
        [f"Python {platform.python_version()}", *(f"{it} {version(it)}" for it in _PACKAGES)]
    )
    gpus = [torch.cuda.get_device_name(it) for it in range(torch.cuda.device_count())]
    yield f"devices: {cores()} CPUs; GPUs: {', '.join(gpus) or 'none'}"
    yield f"disk: {shutil.disk_usage(root).free / 1e9:,.1f} GB free in {root}"
