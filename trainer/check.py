"""Check of a whole config, which needs torch, user code and the file system."""

from __future__ import annotations

from pathlib import Path

from trainer.config import DATASETS, MODELS, TrainConfig
from trainer.errors import ConfigError, unknown
from trainer.model import check_model
from trainer.optim import check_optimizer
from trainer.references import is_reference
from trainer.schedule import check_schedule
from trainer.settings import REFERENCE

_DATASET_FORMS = (*DATASETS, "FOLDER/", "PATH.npz", REFERENCE)


def check_train(config: TrainConfig) -> None:
    """Check that the config can be trained; call it once, before training.

    Raises:
        ConfigError: the data set, model, optimizer or schedule does not exist, or torch refuses it.
    """
    _check_dataset(config.dataset)
    check_model(config.model, config.model_args)
    check_optimizer(config.optimizer, config.optimizer_args, dense=config.model in MODELS)
    check_schedule(config)


def _check_dataset(dataset: object) -> None:
    named = dataset in DATASETS or is_reference(dataset)
    is_path = isinstance(dataset, str) and (
        dataset.endswith(".npz") or "/" in dataset or Path(dataset).is_dir()
    )
    if not (named or is_path):
        raise ConfigError(unknown("dataset", dataset, _DATASET_FORMS))
