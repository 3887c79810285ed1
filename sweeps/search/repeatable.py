"""A sampler whose suggestions are a function of seed, trial number and what was told before.

Optuna's samplers draw from one stream of random numbers, so what a trial gets depends on how often
the process was started. Here every trial has a sampler of its own, seeded from the search's seed
and the trial's number: an interrupted study goes on exactly as it would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class RepeatableSampler(BaseSampler):
    """Draws for each trial with a sampler of its own.

    Args:
        make: a sampler from a seed.
        seed: of the search; a number or a text.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: object) -> None:
        self._make = make
        self._seed = seed
        self._current: tuple[int, BaseSampler] | None = None

    def again(self, attempt: int) -> RepeatableSampler:
        """One that draws otherwise, the same for the same attempt."""
        return RepeatableSampler(self._make, f"{self._seed}/{attempt}")

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the trial's own sampler does."""
        self._of(trial).before_trial(study, trial)

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

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As a sampler of the trial does, which knows nothing of what was drawn."""
        self._make(self._derive(trial.number)).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            self._current = (trial.number, self._make(self._derive(trial.number)))
        return self._current[1]

    def _derive(self, *words: object) -> int:
        text = " ".join(map(str, (self._seed, *words)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
