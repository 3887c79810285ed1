"""Whether stored files are what was written: epochs, checkpoints, data sets; and what they take."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sweeps.doctor.finding import Finding
from trainer.data.arrays import META, fault
from trainer.stages.sealed import read_saved
from trainer.stages.store import StageStore

_DAY = 86400.0
_AGES = (1, 7, 30)  # days


def check_stages(store: StageStore) -> Iterator[Finding]:
    """Check every stored result and state against its checksum."""
    for path in store.damaged():
        yield Finding(
            path, "is not what was written", "--fix removes it; the epoch is trained again"
        )


def check_data(folder: Path) -> Iterator[Finding]:
    """Check every prepared data set against its checksums."""
    for meta in sorted(folder.glob(f"**/{META}")):
        if why := fault(meta.parent):
            yield Finding(str(meta.parent), why, "the next command that uses it builds it again")


def check_checkpoints(runs: Sequence[Any]) -> Iterator[Finding]:
    """Check every checkpoint whose files are on this machine against the checksums in it."""
    for run in runs:
        parts = urlsplit(run.info.artifact_uri)
        if parts.scheme not in ("", "file"):
            continue
        for path in sorted(Path(unquote(parts.path)).glob("checkpoints/*.pt")):
            try:
                read_saved(path)
            except pickle.UnpicklingError:
                mend = "delete that run in MLflow; the command that began its study logs it again"
                yield Finding(str(path), "is damaged", mend)


def sizes(store: StageStore) -> Iterator[str]:
    """What states take in the store, for people, by the time of their last use."""
    states = store.states()
    yield f"states: {len(states)}, {_megabytes(sum(size for _, size in states))}"
    for days in _AGES:
        old = [size for used, size in states if time.time() - used > days * _DAY]
        if old:
            yield (
                f"  unused for {days} days: {len(old)}, {_megabytes(sum(old))}; "
                f"--prune-older-than {days}d frees that"
            )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
