"""Samplers that delegate to another sampler."""

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
    """Delegates each trial to a sampler, which may get a modified view of the study."""

    @abstractmethod
    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The sampler for this trial."""

    def view(self, study: Study) -> Study:
        """The study as that sampler is to see it."""
        return study

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Delegate to the trial's sampler."""
        self.sampler_of(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Delegate to the trial's sampler."""
        return self.sampler_of(trial).infer_relative_search_space(self.view(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the trial's sampler."""
        return self.sampler_of(trial).sample_relative(self.view(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Delegate to the trial's sampler."""
        sampler, view = self.sampler_of(trial), self.view(study)
        return sampler.sample_independent(view, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Delegate to the trial's sampler."""
        self.sampler_of(trial).after_trial(study, trial, state, values)


class PointSampler(ForwardingSampler):
    """Suggests all parameters of a trial at once; delegates enqueued trials to another sampler.

    Args:
        rest: draws parameters that an enqueued trial does not fix.
    """

    def __init__(self, rest: BaseSampler) -> None:
        self._rest = rest
        self._current: tuple[int, Point | None] | None = None

    @abstractmethod
    def point_of(self, study: Study, trial: FrozenTrial) -> Point | None:
        """The point for a trial that was not enqueued; None: delegate to the other sampler."""

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The other sampler, for every trial."""
        return self._rest

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Distributions of all parameters of the point."""
        point = self._point(study, trial)
        if point is None:
            return super().infer_relative_search_space(study, trial)
        return dict(point.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters of the point."""
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
        """Do nothing."""

    def _point(self, study: Study, trial: FrozenTrial) -> Point | None:
        if self._current is None or self._current[0] != trial.number:
            point = None if is_enqueued(trial) else self.point_of(study, trial)
            self._current = (trial.number, point)
        return self._current[1]
