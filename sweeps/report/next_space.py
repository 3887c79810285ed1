"""The next search space: a study's space with all advised changes, as a TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sweeps.errors import SweepError
from sweeps.report.advice.advice import Advice
from sweeps.report.compare.ranking import rank
from sweeps.report.reading.command import base_of, constants, sweep_command
from sweeps.report.reading.frames import StudyFrames
from sweeps.report.summary import summarize
from sweeps.space.declared import DeclaredSpace
from sweeps.space.described import Change, Described, changed, is_function, mapped, to_toml
from sweeps.space.file import parse_space
from sweeps.space.parameter import EPOCHS
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.flags import parse_settings

_UP_TO_EPOCHS = re.compile(r"step_size|scheduler\..+")
_TOP = re.compile(r"study:.+:top=(\d+)")


@dataclass(frozen=True, kw_only=True)
class NextSpace:
    """The file of a search space, and the command that searches it.

    Attributes:
        text: content of the file.
        applied: the advice that it follows.
        refused: advice that would make the space invalid, with the reason.
        command: command that searches it with the settings of the study.
    """

    text: str
    applied: tuple[Advice, ...]
    refused: tuple[tuple[Advice, str], ...]
    command: str


def next_space(frames: StudyFrames, path: Path) -> NextSpace:
    """Apply the advice on a study to its search space.

    Args:
        frames: the study.
        path: path of the new file, for its command and messages.

    Raises:
        SweepError: the study's space is a Python function, or is not in MLflow.
        ConfigError: the study's space is no longer valid, because code that it names is missing.
    """
    if is_function(frames.space):
        raise SweepError(
            f"The space of study {frames.name} must be a file, but is the Python function "
            f"{frames.space['function']}; change the function as the report advises."
        )
    if not frames.space:
        raise SweepError(f"The space of study {frames.name} must be in MLflow, but is not.")
    base = base_of(frames.settings)
    space = changed(
        _with_epochs(frames.space, base.epochs),
        [Change(name, value) for name, value in constants(base, frames.settings).items()],
    )
    opened = _opened(space, base, path)
    applied, refused, flags = list[Advice](), list[tuple[Advice, str]](), dict[str, str]()
    for item in summarize(frames).advice:
        if not (item.changes or item.flags):
            continue
        epochs = int(item.flags.get("--epochs", base.epochs))
        now, then = changed(space, item.changes), base.override({"epochs": epochs})
        try:
            opened = _opened(now, then, path)
        except ConfigError as error:
            refused.append((item, str(error)))
            continue
        space, base = now, then
        flags |= item.flags
        applied.append(item)
    if not _contains(opened, base, frames, flags.get("--enqueue", "")):
        del flags["--enqueue"], flags["--trials"]
    command = sweep_command(frames, base, str(path), flags)
    head = _head(frames, applied, command)
    return NextSpace(
        text=f"{head}\n{to_toml(space)}",
        applied=tuple(applied),
        refused=tuple(refused),
        command=command,
    )


def _with_epochs(space: Described, epochs: int) -> dict[str, Any]:
    """The space with "epochs" as upper bound of the schedule's parameters that end there."""

    def entry_of(name: str, entry: Any) -> Any:
        is_range = isinstance(entry, Mapping) and {"low", "high"} <= entry.keys()
        if is_range and _UP_TO_EPOCHS.fullmatch(name) and entry["high"] == epochs:
            return {**entry, "high": EPOCHS} if isinstance(entry["low"], int) else entry
        return entry

    return mapped(space, entry_of)


def _opened(space: Described, base: TrainConfig, path: Path) -> DeclaredSpace:
    opened = parse_space(to_toml(space), str(path), base)
    opened.check(base)
    return opened


def _contains(space: DeclaredSpace, base: TrainConfig, frames: StudyFrames, known: str) -> bool:
    """Whether the best trials of the study, which are to be enqueued, are points of the space."""
    top = _TOP.fullmatch(known)
    rows = rank(frames).head(int(top[1])) if top else pd.DataFrame()
    for _, row in rows.iterrows():
        given = {name: row.get(name) for name in space.searched}
        words = [f"{name}={it}" for name, it in given.items() if it is not None and not pd.isna(it)]
        try:
            space.params(parse_settings(words), base)
        except ConfigError:
            return False
    return True


def _head(frames: StudyFrames, applied: Sequence[Advice], command: str) -> str:
    """A comment on the origin of the file, and the command that searches it."""
    changes = [f"  {item.seen}" for item in applied] or ["  no change"]
    lines = [
        f"The space of study {frames.name}, changed as its {len(frames.trials)} trials advise:",
        *changes,
        "Search it:",
        f"  {command}",
    ]
    printable = ("".join(it if it.isprintable() else " " for it in line) for line in lines)
    return "".join(f"# {line}\n" for line in printable)
