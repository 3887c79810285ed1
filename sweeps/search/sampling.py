"""Samplers by name; a suggestion is a function of seed, trial number and what was told before.

Optuna's samplers draw from one stream of random numbers, so what a trial gets depends on how often
the process was started. Here every trial has a sampler of its own, seeded from the study's seed and
the trial's number: an interrupted study goes on exactly as it would have.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweeps.search.sequences import GridSampler, SobolSampler

GROUPED_TPE = True
"""Whether TPE models the parameters of a conditional space in groups that occur together.

`benchmarks/conditional_space.py`: where each optimizer has an lr of its own, the best of 50 trials
lies 0.70 times as far from the optimum as without (0.58 to 0.86, 95 %); elsewhere no difference."""

POPULATION = 10
"""Trials in a generation of `nsgaii`: 50 trials are five generations; of Optuna's 50 they would be
the first one, which is random."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sampler is to search.

    Attributes:
        seed: of the search.
        conditional: whether some parameters occur only with certain values of others.
        points: every point of the space, as parameters by name; for a grid only.
    """

    seed: int
    conditional: bool
    points: Sequence[Mapping[str, Any]] = ()


SAMPLERS: dict[str, Callable[[Search], BaseSampler]] = {
    "tpe": lambda search: RepeatableSampler(partial(_tpe, search.conditional), search.seed),
    "random": lambda search: _drawn(search),
    "grid": lambda search: GridSampler(search.points, search.seed, rest=_drawn(search)),
    "qmc": lambda search: SobolSampler(search.seed),
    "cmaes": lambda search: RepeatableSampler(_cmaes, search.seed),
    "gp": lambda search: RepeatableSampler(_gp, search.seed),
    "nsgaii": lambda search: RepeatableSampler(_nsgaii, search.seed),
}

ONE_OBJECTIVE = ("tpe", "random", "grid", "qmc", "cmaes", "gp")
TWO_OBJECTIVES = ("tpe", "random", "grid", "qmc", "gp", "nsgaii")
"""Which of them search by one objective, and which by two."""

COMPLETE_ONLY = ("cmaes", "gp", "nsgaii")
"""Those that learn from complete trials only: not from pruned ones, nor from failed ones."""


LEARN_FROM_OTHERS = ("tpe", "gp")
"""Those that can learn from trials of an earlier study, too: the other ones learn from none, or
from generations of trials that they drew themselves."""


class RepeatableSampler(BaseSampler):
    """Draws for each trial with a sampler of its own.

    Args:
        make: a sampler from a seed.
        seed: of the study.
    """

    # No sampler here has anything to do before or after a trial, save that CMA-ES would warn after
    # one that it takes no heed of constraints; so neither is passed on.

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._current: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the trial's own sampler does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the trial's own sampler does."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As a sampler of this trial and parameter does: no draw depends on those before it."""
        sampler = self._make(self._derive(trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            self._current = (trial.number, self._make(self._derive(trial.number)))
        return self._current[1]

    def _derive(self, *words: object) -> int:
        text = " ".join(map(str, (self._seed, *words)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _tpe(conditional: bool, seed: int) -> BaseSampler:
    if not (conditional and GROUPED_TPE):
        return TPESampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def _drawn(search: Search) -> BaseSampler:
    return RepeatableSampler(lambda seed: RandomSampler(seed=seed), search.seed)


def _cmaes(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _CmaEs(seed=seed, with_margin=True, warn_independent_sampling=False)


def _gp(seed: int) -> BaseSampler:
    return _Gp(seed=seed, warn_independent_sampling=False)


def _nsgaii(seed: int) -> BaseSampler:
    return NSGAIISampler(seed=seed, population_size=POPULATION)


class _CmaEs(CmaEsSampler):
    """Begins anew where it finds that fewer parameters than before occur in every trial.

    Optuna's own would find the wrong number of dimensions in what it had stored, and draw at random
    from then on. `with_margin` is for grids, which all of the default space is.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As Optuna's, with what it stores under a key of this number of dimensions."""
        self._attr_prefix = f"cmawm{len(search_space)}:"
        return super().sample_relative(study, trial, search_space)


class _Gp(GPSampler):
    """Takes no heed of the trial that it draws for among those that run.

    Optuna's own stores what it drew before the trial has it; a later process would find that, take
    it for a rival's, and keep away from it.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As Optuna's."""
        self._number = trial.number
        return super().sample_relative(study, trial, search_space)

    def _sample_relative_impl(
        self,
        study: Study,
        completed_trials: list[FrozenTrial],
        running_trials: list[FrozenTrial],
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        rivals = [trial for trial in running_trials if trial.number != self._number]
        return super()._sample_relative_impl(study, completed_trials, rivals, search_space)
