"""Which state of the code a run was started from, as git knows it."""

from __future__ import annotations

import subprocess


def source_tags() -> dict[str, str]:
    """Commit of the working folder, and whether it was changed since: MLflow's tag and our own."""
    try:
        commit = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, text=True, check=True
    ).stdout.strip()
