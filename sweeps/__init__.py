"""Hyperparameter sweeps that never train the same epoch twice."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.engine.library import SweepResult, sweep
    from sweeps.errors import SweepError
    from sweeps.report.reading.frames import load_curves, load_trials
    from sweeps.settings.config import SweepConfig
    from sweeps.settings.execution import Places
    from trainer.settings.config import TrainConfig

__all__ = [
    "Places",
    "SweepConfig",
    "SweepError",
    "SweepResult",
    "TrainConfig",
    "load_curves",
    "load_trials",
    "sweep",
]

_MODULES = {
    "Places": "sweeps.settings.execution",
    "SweepConfig": "sweeps.settings.config",
    "SweepError": "sweeps.errors",
    "SweepResult": "sweeps.engine.library",
    "TrainConfig": "trainer.settings.config",
    "load_curves": "sweeps.report.reading.frames",
    "load_trials": "sweeps.report.reading.frames",
    "sweep": "sweeps.engine.library",
}


def __getattr__(name: str) -> Any:
    """Import lazily, since most names need torch, Optuna or MLflow."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
