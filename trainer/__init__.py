"""Train one run, epoch by epoch, each a pure function whose result is kept under its key."""

from trainer.errors import TrainerError
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.settings.paths import Paths

__all__ = ["EpochResult", "Paths", "TrainConfig", "TrainerError"]
