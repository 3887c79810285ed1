"""Errors of a sweep that users can cause."""

from __future__ import annotations

from trainer.errors import TrainerError


class SweepError(TrainerError):
    """A sweep cannot be run or read."""


class UnknownStudy(SweepError):
    """MLflow has no study of this name."""


class StudyMismatch(SweepError):
    """The study was begun with other settings than those given now."""


class StudyInUse(SweepError):
    """Another process is running the study."""
