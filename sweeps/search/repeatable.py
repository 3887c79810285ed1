"""A sampler whose suggestions are a function of seed, trial number and finished trials.

Optuna's samplers draw from one random stream, so suggestions depend on how often the process was
restarted. Here every trial has its own sampler, seeded by the search seed and the trial number, so
a resumed study continues exactly as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.points import derive_seed
from sweeps.search.forwarding import ForwardingSampler


class RepeatableSampler(ForwardingSampler):
    """Draws for each trial with a newly seeded sampler.

    Args:
        make: creates a sampler from a seed.
        seed: seed of the search, a number or a text.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: object) -> None:
        self._make = make
        self._seed = seed
        self._current: tuple[int, BaseSampler] | None = None

    def reseeded(self, attempt: int) -> RepeatableSampler:
        """A sampler with another seed, derived from this one and the number of the attempt."""
        return RepeatableSampler(self._make, f"{self._seed}/{attempt}")

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The trial's own sampler."""
        if self._current is None or self._current[0] != trial.number:
            self._current = (trial.number, self._make(derive_seed(self._seed, trial.number)))
        return self._current[1]

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw with a sampler of this trial and parameter, independent of earlier draws."""
        sampler = self._make(derive_seed(self._seed, trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Delegate to a new sampler of the trial, as after a restart."""
        self._make(derive_seed(self._seed, trial.number)).after_trial(study, trial, state, values)
