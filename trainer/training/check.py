"""Check of a whole config, with torch, user code and the file system."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import ConfigError, unknown
from trainer.settings.apart import apart
from trainer.settings.config import DATASETS, MODELS, TrainConfig
from trainer.settings.fields import REFERENCE
from trainer.settings.references import is_reference
from trainer.training.loss import find_losses
from trainer.training.model import check_model
from trainer.training.optim import find_optimizer
from trainer.training.own_metrics import find_metrics
from trainer.training.schedule import Schedule
from trainer.training.trainable import find_trainable

_DATASET_FORMS = (*DATASETS, "FOLDER/", "PATH.npz", REFERENCE)


def check_train(config: TrainConfig) -> None:
    """Check that the config can be trained; call it once, before training.

    Raises:
        ConfigError: the data set, model, loss, metric, optimizer or schedule does not exist, or
            torch refuses it.
    """
    if not config.trainable:
        _check_dataset(config.dataset)
    apart(config.user_code, _check_parts, config)


def _check_parts(config: TrainConfig) -> None:
    if config.trainable:
        find_trainable(config.trainable)
        return
    find_losses(config.loss, config.loss_args)
    find_metrics(config)
    check_model(config.model, config.model_args)
    optimizer = find_optimizer(config.optimizer, config.optimizer_args)
    optimizer.check(dense=config.model in MODELS)
    Schedule(config, optimizer).check()


def _check_dataset(dataset: object) -> None:
    named = dataset in DATASETS or is_reference(dataset)
    is_path = isinstance(dataset, str) and (
        dataset.endswith(".npz") or "/" in dataset or Path(dataset).is_dir()
    )
    if not (named or is_path):
        raise ConfigError(unknown("dataset", dataset, _DATASET_FORMS))
