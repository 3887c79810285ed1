"""Validation of a complete sweep config; unlike construction, it needs torch and Optuna."""

from __future__ import annotations

from sweeps.search.names import (
    COMPLETE_ONLY,
    NO_PRUNER,
    ONE_OBJECTIVE_ONLY,
    SETTLED,
    TWO_OBJECTIVES_ONLY,
)
from sweeps.search.pruning import least_epochs, make_pruner
from sweeps.search.sampling import Search, make_sampler
from sweeps.settings.config import SweepConfig
from trainer.data import Data
from trainer.errors import ConfigError, unknown
from trainer.metrics import RUNNING_LOSS, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from trainer.training.check import check_train


def check_sweep(config: SweepConfig) -> None:
    """Check that base config, space, sampler and pruner exist and fit together.

    Raises:
        ConfigError: they do not; the message says what is valid.
    """
    check_train(config.train)
    _check_search(config)


def check_objectives(config: SweepConfig, data: Data) -> None:
    """Check that the objectives can be measured on the data.

    Raises:
        ConfigError: the objective is accuracy, but the data is for regression.
    """
    if config.train.trainable:
        return
    if VAL_ACCURACY in config.objectives and not data.is_classification:
        raise ConfigError(
            f"With regression targets, as {data.name} has, objective must be "
            f"{VAL_LOSS}, {TRAIN_LOSS} or {RUNNING_LOSS}, but got {VAL_ACCURACY!r}."
        )


def _check_search(config: SweepConfig) -> None:
    second, sampler, pruner = config.second, config.sampler, config.pruner
    space = config.search_space  # raises if it cannot be read
    search = Search(seed=config.search_seed, conditional=space.conditional)
    make_sampler(sampler, config.sampler_args, search)  # raises for invalid arguments
    made_pruner = make_pruner(pruner, config.pruner_args, config.train.epochs)
    unable = ONE_OBJECTIVE_ONLY if second else TWO_OBJECTIVES_ONLY
    if sampler in unable:
        count = "two objectives" if second else "one objective"
        raise ConfigError(
            f"With {count} sampler must not be one of {', '.join(unable)}, but got {sampler!r}."
        )
    if config.compare:
        _check_compare(config)
    if pruner != NO_PRUNER and second:
        raise ConfigError(
            "With two objectives pruner must be none, since a trial that is worse in one may be "
            f"better in the other, but got {pruner!r}."
        )
    if pruner != NO_PRUNER and sampler in COMPLETE_ONLY:
        raise ConfigError(
            f"With sampler {sampler} pruner must be none, since the sampler learns from complete "
            f"trials only, but got {pruner!r}."
        )
    least, epochs = least_epochs(made_pruner), config.train.epochs
    if epochs < least:
        raise ConfigError(
            f"With pruner {pruner} epochs must be at least {least}, but got {epochs}; train more "
            "epochs, or choose PercentilePruner, MedianPruner or none."
        )
    _ = config.grid  # raises if the space is not finite


def _check_compare(config: SweepConfig) -> None:
    """Check that `compare` names a choice in every trial, and that objective and sampler fit."""
    space = config.search_space
    comparable = [name for name in space.always if len(space.choices(name)) > 1]
    if config.compare not in comparable:
        if not comparable:
            raise ConfigError(
                "compare must be a parameter of every trial with several choices, but the space "
                f"has none; got {config.compare!r}."
            )
        raise ConfigError(unknown("name to compare", config.compare, comparable))
    if config.second:
        raise ConfigError(f"With compare there must be one objective, but got {config.second!r}.")
    if config.sampler in SETTLED:
        raise ConfigError(
            "With compare sampler must draw values at random, since each compared value has a "
            f"sampler of its own, but got {config.sampler!r}."
        )
