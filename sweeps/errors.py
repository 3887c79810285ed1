"""The errors of a sweep that a user can cause or meet."""

from __future__ import annotations

from trainer.errors import TrainerError


class SweepError(TrainerError):
    """A sweep that cannot be run or read."""


class UnknownStudy(SweepError):
    """A study that MLflow knows nothing of."""


class StudyMismatch(SweepError):
    """A study that was begun with other settings than the ones now asked for."""


class StudyInUse(SweepError):
    """A study that another process is working on."""
