"""Check of a whole sweep, which needs torch, Optuna and the search space."""

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
        ConfigError: the message names what was got and what may be.
    """
    check_train(config.train)
    _check_search(config)


def check_objectives(config: SweepConfig, data: Data) -> None:
    """Check that the data has what the objectives measure.

    Raises:
        ConfigError: accuracy of targets that are no classes.
    """
    if VAL_ACCURACY in config.objectives and not data.is_classification:
        raise ConfigError(
            f"With targets in place of classes, as {data.name} has, objective must be "
            f"{VAL_LOSS}, {TRAIN_LOSS} or {RUNNING_LOSS}, but got {VAL_ACCURACY!r}."
        )


def _check_search(config: SweepConfig) -> None:
    second, sampler, pruner = config.second, config.sampler, config.pruner
    space = config.search_space  # raises where it cannot be read
    search = Search(seed=config.search_seed, conditional=space.conditional)
    make_sampler(sampler, config.sampler_args, search)  # these two raise what cannot be made
    stopping = make_pruner(pruner, config.pruner_args, config.train.epochs)
    unable = ONE_OBJECTIVE_ONLY if second else TWO_OBJECTIVES_ONLY
    if sampler in unable:
        count = "two objectives" if second else "one objective"
        raise ConfigError(
            f"With {count} sampler must be none of {', '.join(unable)}, but got {sampler!r}."
        )
    if config.compare:
        _check_compare(config)
    if pruner != NO_PRUNER and second:
        raise ConfigError(
            "With two objectives pruner must be none, as a trial that falls behind in one may be "
            f"ahead in the other, but got {pruner!r}."
        )
    if pruner != NO_PRUNER and sampler in COMPLETE_ONLY:
        raise ConfigError(
            f"With sampler {sampler} pruner must be none, as it learns from complete trials only, "
            f"but got {pruner!r}."
        )
    least, epochs = least_epochs(stopping), config.train.epochs
    if epochs < least:
        raise ConfigError(
            f"With pruner {pruner} epochs must be at least {least}, but got {epochs}; with so few "
            "pruner may be PercentilePruner, MedianPruner or none."
        )
    _ = config.grid  # raises where there is no end of points


def _check_compare(config: SweepConfig) -> None:
    """Refuse to compare what has no values, or what a sampler goes through by itself."""
    space = config.search_space
    able = [name for name in space.always if len(space.choices(name)) > 1]
    if config.compare not in able:
        if not able:
            raise ConfigError(
                "compare must be a name that every trial has and that is one of some values, but "
                f"the space has none, and got {config.compare!r}."
            )
        raise ConfigError(unknown("name to compare", config.compare, dict.fromkeys(able)))
    if config.second:
        raise ConfigError(f"With compare there must be one objective, but got {config.second!r}.")
    if config.sampler in SETTLED:
        raise ConfigError(
            "With compare sampler must be one that draws values, as each value has a sampler of "
            f"its own, but got {config.sampler!r}."
        )
