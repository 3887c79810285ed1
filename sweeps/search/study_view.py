"""`StudyViewSampler`: shows Optuna's samplers suspended trials as pruned, and only some trials."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.allocation.curves import granted_to
from sweeps.search.forwarding import ForwardingSampler
from sweeps.search.optuna_private import StudyView


class StudyViewSampler(ForwardingSampler):
    """Delegates to a sampler that sees suspended trials as pruned, and only some trials.

    Args:
        sampler: sampler to delegate to.
        is_visible: which trials that sampler sees; None: all.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        is_visible: Callable[[FrozenTrial], bool] | None = None,
    ) -> None:
        self._sampler = sampler
        self._is_visible = is_visible or (lambda trial: True)

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The same sampler for every trial."""
        return self._sampler

    def view(self, study: Study) -> Study:
        """The study with its visible trials."""
        return StudyView(study, lambda trials: filter(self._is_visible, map(_as_pruned, trials)))


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """A suspended trial as if it were pruned after its last epoch; other trials unchanged."""
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
