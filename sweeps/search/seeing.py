"""What a sampler of Optuna's sees of its study: its own kind only, suspended trials as pruned."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.allocation.curves import granted_to
from sweeps.search.forwarding import ForwardingSampler
from sweeps.search.optuna_private import SeenStudy


class SeeingSampler(ForwardingSampler):
    """A sampler that takes a suspended trial for a pruned one.

    Args:
        sampler: one that learns from whatever trials a study has.
        sees: whether it sees a trial; None: it sees all.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        sees: Callable[[FrozenTrial], bool] | None = None,
    ) -> None:
        self._sampler = sampler
        self._sees = sees or (lambda trial: True)

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The same one for all."""
        return self._sampler

    def seen(self, study: Study) -> Study:
        """The study with other trials."""
        return SeenStudy(study, lambda trials: filter(self._sees, map(_as_pruned, trials)))


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """The trial as it would be, were it ended where it is suspended."""
    granted = granted_to(trial)
    step = trial.last_step
    if trial.state != TrialState.RUNNING or granted is None or step is None or step < granted:
        return trial
    pruned = create_trial(
        state=TrialState.PRUNED,
        value=trial.intermediate_values[step],
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
    pruned.number = trial.number
    return pruned
