"""All uses of Optuna's private API, in one place; `tests/test_optuna_private.py` tests them.

If that test fails with a new version of Optuna, only this module has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState


def take_up(study: Study, trial: FrozenTrial) -> Trial:
    """Resume a trial that an earlier process created with `study.ask()`.

    Parameters that were suggested keep their values; the others are sampled as usual.
    """
    return Trial(study, trial._trial_id)


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether the trial was enqueued, with some or all parameters fixed."""
    return "fixed_params" in trial.system_attrs


class StudyView(Study):
    """Read-only view of a study with other trials.

    Args:
        study: the study to view.
        transform: maps the study's trials to those of the view.
    """

    def __init__(
        self, study: Study, transform: Callable[[list[FrozenTrial]], Iterable[FrozenTrial]] = iter
    ) -> None:
        vars(self).update(vars(study))
        self._transform = transform

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Trials of the view, never copied, as Optuna calls this often."""
        trials = self._transform(super()._get_trials(False, None, use_cache))
        return [it for it in trials if states is None or it.state in states]
