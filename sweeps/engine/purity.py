"""Whether code that users bring gives an epoch the same result each time: tried before it counts.

Trials share epochs because training one is a pure function. Code that draws from a clock, say, or
depends on the order of a set, breaks that; then the trials of a study share nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sweeps.engine.executors import Executor, LocalExecutor, reason_of
from sweeps.errors import SweepError
from sweeps.search.objectives import SECONDS
from sweeps.settings.config import SweepConfig
from sweeps.space.function import random_trial
from trainer.errors import ConfigError, TrainerError
from trainer.settings.config import TrainConfig
from trainer.settings.references import is_reference
from trainer.stages.rehearsal import Rehearsal, check_resumes, rehearse
from trainer.training.check import check_train

_NAMES = ("model", "loss", "optimizer")


def is_pure(
    config: SweepConfig,
    executor: Executor,
    folder: Path,
    another: Callable[[], Executor] | None = None,
) -> bool:
    """Whether the first batches give the same bits in two processes, for all that users bring.

    Without such code it is known that they do, and nothing is tried.

    A space that is a Python function does not say what it will bring; that is not tried.

    Args:
        config: the sweep, with the device of `config.train` resolved.
        executor: that will train it.
        folder: of the prepared data sets.
        another: makes the executor whose process is the second; None: a new local one.

    Raises:
        SweepError: the code fails; with its traceback.
        ConfigError: it keeps something between epochs that is not in a state.
    """
    configs = list(brought(config))
    if not configs:
        return True
    judged = [name for name in config.objectives if name != SECONDS]

    def rehearsal(train: TrainConfig) -> Callable[[], Rehearsal]:
        return partial(rehearse, train, folder, objectives=judged)

    logs = executor.logs if isinstance(executor, LocalExecutor) else None
    other = another() if another is not None else LocalExecutor(1, logs=logs)
    try:
        futures = [[one.submit(rehearsal(train)) for one in (executor, other)] for train in configs]
        rehearsals = [[future.result() for future in pair] for pair in futures]
    except TrainerError:
        raise
    except Exception as error:  # users' code can raise anything
        raise SweepError(
            "Code that was brought fails in its first batches:\n" + reason_of(error).rstrip()
        ) from error
    finally:
        other.stop()
    for train, (one, two) in zip(configs, rehearsals, strict=True):
        if not (one.repeats and one == two):
            return False
        check_resumes(train, one)
    return True


def brought(config: SweepConfig) -> Iterator[TrainConfig]:
    """A config for each piece of users' code, as far as the space can say which there are."""
    if config.train.trainable:  # its config needs the values of a trial
        yield config.search_space.suggest(random_trial(0), config.train)
        return
    if config.train.references or not config.train.deterministic:
        yield config.train
    for name in _NAMES:
        for choice in config.search_space.choices(name):
            if is_reference(choice):
                try:
                    train = config.train.override({name: choice})
                    check_train(train)
                except ConfigError:  # needs more than its name, so it is first tried in a trial
                    continue
                yield train
