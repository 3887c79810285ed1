"""All that is used of Optuna and has no public name; `tests/test_optuna_private.py` watches it.

Whoever raises Optuna's version and sees that test fail finds here all there is to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState


def take_up(study: Study, trial: FrozenTrial) -> Trial:
    """A trial that an earlier process asked for, to go on with.

    Optuna gives back what was suggested, and draws the rest as it would have.
    """
    return Trial(study, trial._trial_id)


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether somebody else than the sampler chose parameters of the trial."""
    return "fixed_params" in trial.system_attrs


class SeenStudy(Study):
    """A study in all but its trials, which nobody may change.

    Args:
        study: that it is in all else.
        see: makes what is seen of the trials of `study`.
    """

    def __init__(
        self, study: Study, see: Callable[[list[FrozenTrial]], Iterable[FrozenTrial]] = iter
    ) -> None:
        vars(self).update(vars(study))
        self._see = see

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Not copied: Optuna looks at them often."""
        every = self._see(super()._get_trials(False, None, use_cache))
        return [it for it in every if states is None or it.state in states]
