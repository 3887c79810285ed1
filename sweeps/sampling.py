"""Samplers and pruners by name; a suggestion is a function of seed, trial number and what was told.

Optuna's samplers draw from one stream of random numbers, so what a trial gets depends on how often
the process was started. Here every trial has a sampler of its own, seeded from the study's seed and
the trial's number: an interrupted study goes on exactly as it would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

FULL_TRIALS_FIRST = 5
"""Trials that must have trained to their end before the pruner stops any."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}

PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "percentile": lambda: PercentilePruner(25.0, n_startup_trials=FULL_TRIALS_FIRST),
    "median": lambda: MedianPruner(n_startup_trials=FULL_TRIALS_FIRST),
    "none": NopPruner,
}


class RepeatableSampler(BaseSampler):
    """Draws for each trial with a sampler of its own.

    Args:
        make: a sampler from a seed.
        seed: of the study.
    """

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

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """As the trial's own sampler does."""
        self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            self._current = (trial.number, self._make(self._derive(trial.number)))
        return self._current[1]

    def _derive(self, *words: object) -> int:
        text = " ".join(map(str, (self._seed, *words)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
