"""Executors: where stages are trained. One method, `submit`, and the future it gives."""

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
