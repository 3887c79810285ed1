"""Who started a run, by which program and from which state of the code, as tags of MLflow."""

from __future__ import annotations

import getpass
import subprocess
import sys
from contextlib import suppress


def source_tags() -> dict[str, str]:
    """What MLflow shows as user and source of a run, and what git knows of its code."""
    tags = {"mlflow.source.name": sys.argv[0] or "<console>", "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a user without a name, as in some containers
        tags["mlflow.user"] = getpass.getuser()
    return tags | _git_tags()


def _git_tags() -> dict[str, str]:
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
