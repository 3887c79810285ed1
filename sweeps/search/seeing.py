"""What a sampler of Optuna's sees of its study: suspended trials as pruned, and further trials.

The further ones are those of an earlier study, which a warm start learns from. Pruner, budget,
report and MLflow never see any of that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.allocation.curves import GRANTED
from sweeps.search.forwarding import ForwardingSampler


class SeeingSampler(ForwardingSampler):
    """A sampler that takes a suspended trial for a pruned one, and further trials for its own.

    Args:
        sampler: one that learns from whatever trials a study has.
        further: finished trials; their number is -1, so that none is taken for the one that asks.
        sees: whether it sees a trial; None: it sees all.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        further: Sequence[FrozenTrial],
        sees: Callable[[FrozenTrial], bool] | None = None,
    ) -> None:
        self._sampler = sampler
        self._further = further
        self._sees = sees or (lambda trial: True)

    def sampler_of(self, trial: FrozenTrial) -> BaseSampler:
        """The same one for all."""
        return self._sampler

    def seen(self, study: Study) -> Study:
        """The study with other trials."""
        return _SeenStudy(study, self._further, self._sees)


class _SeenStudy(Study):
    """A study in all but its trials."""

    def __init__(
        self,
        study: Study,
        further: Sequence[FrozenTrial],
        sees: Callable[[FrozenTrial], bool],
    ) -> None:
        vars(self).update(vars(study))
        self._further = further
        self._sees = sees

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        own = map(_as_pruned, super()._get_trials(deepcopy, None, use_cache))
        seen = filter(self._sees, (*self._further, *own))
        return [it for it in seen if states is None or it.state in states]


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """The trial as it would be, were it ended where it is suspended."""
    granted = trial.user_attrs.get(GRANTED)
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
