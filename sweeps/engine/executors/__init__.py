"""Executors: where stages are trained. One method, `submit`, which returns a future."""

from sweeps.engine.executors.local import (
    Executor,
    InlineExecutor,
    LocalExecutor,
    TaskFailed,
    WorkerLost,
    reason_of,
)

__all__ = [
    "Executor",
    "InlineExecutor",
    "LocalExecutor",
    "TaskFailed",
    "WorkerLost",
    "reason_of",
]
