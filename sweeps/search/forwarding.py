"""Samplers that leave a trial to another sampler, whole or in part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.points import Point
from sweeps.search.optuna_private import is_enqueued


class ForwardingSampler(BaseSampler):
    """Leaves each trial to a sampler, which may see another study."""

    @abstractmethod
    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The sampler that a trial is left to."""

    def seen(self, study: Study) -> Study:
        """The study that this sampler sees when it draws."""
        return study

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the trial's sampler does."""
        self.sampler_of(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the trial's sampler does."""
        return self.sampler_of(trial).infer_relative_search_space(self.seen(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the trial's sampler does."""
        return self.sampler_of(trial).sample_relative(self.seen(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the trial's sampler does."""
        sampler, seen = self.sampler_of(trial), self.seen(study)
        return sampler.sample_independent(seen, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As the trial's sampler does."""
        self.sampler_of(trial).after_trial(study, trial, state, values)


class PointSampler(ForwardingSampler):
    """Suggests a whole point to a trial; what is enqueued is left to another sampler.

    Args:
        rest: draws what an enqueued trial was not given.
    """

    def __init__(self, rest: BaseSampler) -> None:
        self._rest = rest
        self._current: tuple[int, Point | None] | None = None

    @abstractmethod
    def point_of(self, study: Study, trial: FrozenTrial) -> Point | None:
        """The point of a trial that nobody enqueued; None: it is left to the other sampler."""

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The other sampler."""
        return self._rest

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All parameters of the point."""
        point = self._point(study, trial)
        if point is None:
            return super().infer_relative_search_space(study, trial)
        return dict(point.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The point."""
        point = self._point(study, trial)
        if point is None:
            return super().sample_relative(study, trial, search_space)
        return dict(point.params)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing."""

    def _point(self, study: Study, trial: FrozenTrial) -> Point | None:
        if self._current is None or self._current[0] != trial.number:
            point = None if is_enqueued(trial) else self.point_of(study, trial)
            self._current = (trial.number, point)
        return self._current[1]
