"""Kill points: named places between two writes where tests kill the process group."""

from __future__ import annotations

import os
import signal

VARIABLE = "SWEEPS_KILL_AT"
"""Environment variable NAME or NAME@N: send SIGKILL when NAME is passed the Nth time."""

KILL_POINTS = (
    "database-made",
    "array-written",
    "arrays-described",
    "experiment-created",
    "record-appended",
    "point-enqueued",
    "state-written",
    "result-written",
    "states-kept",
    "trial-asked",
    "trial-suggested",
    "epochs-granted",
    "study-closed",
    "study-copied",
    "study-set-aside",
    "epoch-reported",
    "trial-decided",
    "trial-told",
    "run-created",
    "dataset-logged",
    "files-logged",
    "numbers-logged",
    "checkpoint-logged",
    "tags-set",
    "run-ended",
    "run-reopened",
    "run-interrupted",
    "run-closed",
    "run-renamed",
    "run-tagged",
    "test-measured",
    "model-created",
    "model-copied",
    "model-logged",
    "outputs-logged",
    "name-registered",
    "version-registered",
    "alias-set",
    "page-logged",
)

_times_passed: dict[str, int] = {}


def passing(name: str) -> None:
    """Mark the kill point `name`; without effect unless the environment variable names it."""
    wanted, _, nth = os.environ.get(VARIABLE, "").partition("@")
    if wanted != name:
        return
    _times_passed[name] = _times_passed.get(name, 0) + 1
    if _times_passed[name] == int(nth or 1):
        os.killpg(0, signal.SIGKILL)
