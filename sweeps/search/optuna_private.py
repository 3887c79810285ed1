"""All uses of Optuna's private API, in one place; `tests/test_optuna_private.py` tests them.

If that test fails with a new version of Optuna, only this module has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

Suggest = Callable[[str, BaseDistribution], Any]


def take_up(study: Study, trial: FrozenTrial) -> Trial:
    """Resume a trial that an earlier process created with `study.ask()`.

    Parameters that were suggested keep their values; the others are sampled as usual.
    """
    return Trial(study, trial._trial_id)


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether the trial was enqueued, with some or all parameters fixed."""
    return "fixed_params" in trial.system_attrs


class DetachedTrial(FixedTrial):
    """A trial without a study, whose values come from a function.

    Args:
        suggest: returns the value of a parameter with this name and distribution.
    """

    def __init__(self, suggest: Suggest) -> None:
        super().__init__({})
        self._supply = suggest

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            self._params[name] = self._supply(name, distribution)
        return super()._suggest(name, distribution)


class StudyView(Study):
    """Read-only view of a study with other trials.

    Args:
        study: the study to view.
        transform: maps the study's trials to those of the view.
    """

    def __init__(
        self, study: Study, transform: Callable[[list[FrozenTrial]], Iterable[FrozenTrial]]
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
