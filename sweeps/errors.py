"""Expected errors of a sweep."""

from __future__ import annotations

from trainer.errors import TrainerError


class SweepError(TrainerError):
    """A sweep cannot be run or read."""


class UnknownStudy(SweepError):
    """The study is not in MLflow."""


class StudyMismatch(SweepError):
    """The study exists with other settings."""


class StudyInUse(SweepError):
    """Another process holds the study."""
