"""Whether code that users bring gives an epoch the same result each time: tried before it counts.

Trials share epochs because training one is a pure function. Code that draws from a clock, say, or
depends on the order of a set, breaks that; then the trials of a study share nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sweeps.engine.executors import Executor
from sweeps.engine.user_code import UserCode
from sweeps.errors import SweepError
from sweeps.search.objectives import SECONDS
from sweeps.settings.config import SweepConfig
from sweeps.space.function import random_trial
from trainer.errors import CodeFailed, ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.references import is_reference
from trainer.stages.rehearsal import Rehearsal, check_resumes, rehearse
from trainer.training.check import check_train

_NAMES = ("model", "loss", "optimizer")


def is_pure(
    config: SweepConfig,
    folder: Path,
    processes: Sequence[Callable[[], Executor]],
    say: Callable[[str], None],
) -> bool:
    """Whether the first batches give the same bits in two processes, for all that users bring.

    Without such code it is known that they do, and nothing is tried. Code of some trials that fails
    is left out, as these trials fail, too.

    A space that is a Python function does not say what it will bring; that is not tried.

    Args:
        config: the sweep, with the device of `config.train` resolved.
        folder: of the prepared data sets.
        processes: two, each as a function that makes its executor.
        say: receives lines for people.

    Raises:
        SweepError: the code of all trials fails; with its traceback.
        ConfigError: it keeps something between epochs that is not in a state.
    """
    configs = list(brought(config))
    if not configs:
        return True
    one, two = (UserCode(make, config.epoch_timeout) for make in processes)
    with closing(one), closing(two):
        for caller in (one, two):
            caller.start()
        for train in configs:
            try:
                first, second = (_rehearsed(caller, train, folder, config) for caller in (one, two))
            except CodeFailed as error:
                if _is_of_all(train, config):
                    raise SweepError(
                        f"Code that was brought fails in its first batches:\n{str(error).rstrip()}"
                    ) from error
                _report(train, error, say)
                continue
            except ConfigError as error:
                if _is_of_all(train, config):
                    raise
                _report(train, error, say)
                continue
            if not (first.repeats and first == second):
                return False
            check_resumes(train, first)
    return True


def brings_code(config: SweepConfig) -> bool:
    """Whether it is known to run user code, or on a GPU other than deterministic algorithms."""
    return any(_candidates(config))


def brought(config: SweepConfig) -> Iterator[TrainConfig]:
    """A config for each piece of users' code, as far as the space can say which there are."""
    if config.train.trainable:  # its config needs the values of a trial
        yield config.search_space.suggest(random_trial(0), config.train)
        return
    for train in _candidates(config):
        if train is not config.train:
            try:
                check_train(train)
            except ConfigError:  # needs more than its name, so it is first tried in a trial
                continue
        yield train


def _candidates(config: SweepConfig) -> Iterator[TrainConfig]:
    train = config.train
    if train.references or train.metrics or not train.deterministic:
        yield config.train
    for name in _NAMES:
        for choice in config.search_space.choices(name):
            if is_reference(choice):
                yield config.train.override({name: choice})


def _is_of_all(train: TrainConfig, config: SweepConfig) -> bool:
    """Whether all trials run the code of this config, so that all would fail with it."""
    return train is config.train or bool(train.trainable)


def _rehearsed(
    caller: UserCode, train: TrainConfig, folder: Path, config: SweepConfig
) -> Rehearsal:
    judged = tuple(name for name in config.objectives if name != SECONDS)
    # a loop of the user's trains whole epochs, which may take long
    limited = not train.trainable
    return caller(train.user_code, rehearse, train, folder, 3, judged, limited=limited)


def _report(train: TrainConfig, error: ConfigError, say: Callable[[str], None]) -> None:
    last = str(error).strip().rpartition("\n")[2]
    say(f"{' and '.join(train.user_code)} fails where it is tried before training: {last}")
