"""`Trials`: the live trials of a study, new ones and those that earlier starts began."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import optuna
from optuna.pruners import NopPruner
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, TrialState

from sweeps.search.allocation.curves import EPOCHS, granted_to
from sweeps.search.allocation.grants import AllocatingPruner, Grant, WholeTrials
from sweeps.search.names import COMPLETE_ONLY
from sweeps.search.optuna_private import is_enqueued, take_up
from sweeps.search.settling import LEAST_TRIALS, late_gain
from sweeps.settings.config import SweepConfig
from sweeps.study.kinds import Kinds, begun
from sweeps.study.opening import LEAST_WIDTH, OpenStudy
from sweeps.study.stops import Stops
from sweeps.study.trial import (
    REASON,
    RETRAINED,
    LiveTrial,
    best_told,
    last_reported,
    outcome_of,
    seconds_of,
)
from trainer.data import Data
from trainer.errors import ConfigError, TrainerError
from trainer.killpoints import passing
from trainer.stages.plan import Plan, Planner, plan_of
from trainer.tracking.names import STUDY_TAG, TRIAL_TAG
from trainer.tracking.record import DIVERGED, FAILED, RUNNING, record_of
from trainer.training.recipe import check_inputs

CLOSED_AT = "closed_at"
"""User attribute of a study: the number of trials with which no more epochs were granted."""


class Trials:
    """The trials of a study.

    Args:
        config: the sweep.
        study: held by this process.
        data: the data set, which enters the keys of the stages.
        plan: finds the stages of a config; None: in this process.
        width: trials in training at a time.
        unshared: whether trials share no epochs with each other.
    """

    def __init__(
        self,
        config: SweepConfig,
        study: OpenStudy,
        data: Data,
        *,
        plan: Planner | None = None,
        width: int = LEAST_WIDTH,
        unshared: bool = False,
    ) -> None:
        self.width = width
        self._config = config
        self._study = study
        self._data = data
        self._plan = plan or partial(plan_of, data)
        check_inputs(config.train, data)
        self._unshared = unshared
        self._space = config.search_space
        self._kinds = Kinds(config, len(data.train.labels))
        pruner = study.optuna.pruner
        self._pruner = pruner if isinstance(pruner, AllocatingPruner) else WholeTrials()
        self.trains_ahead = isinstance(pruner, NopPruner)
        self._stops = Stops(
            objective=config.objective,
            maximize=config.maximize,
            patience=config.patience,
            target=config.target,
        )
        study.optuna.sampler = self._kinds.sampler

    def _all(self) -> list[FrozenTrial]:
        return self._study.optuna.get_trials(deepcopy=False)

    def asked(self) -> int:
        """Target number of trials, capped by the size of the grid, or where the search stopped
        early; at least the number in the study, some of which may have been enqueued later.
        """
        trials = self._all()
        if self._stops_early(trials):
            return len(begun(trials))
        most = self._config.trials
        if self._config.grid is not None:
            most = min(most, len(self._config.grid) + sum(map(is_enqueued, trials)))
        return max(most, len(trials))

    def left(self) -> int:
        """Number of trials still to be started; 0 once the study is closed."""
        if self._is_closed():
            return 0
        return self.asked() - len(begun(self._all()))

    def next(self) -> Grant | None:
        """The next grant of epochs; None: wait for the next result."""
        trials = self._all()
        if self._is_closed() or self._stops_early(trials):
            return None
        return self._kinds.next(self._pruner, trials, self.left())

    def close(self) -> str:
        """Store that no more epochs are granted at this number of trials.

        The next start, which finds some of them finished, then does not decide again. A study that
        stopped early needs no mark: it does so again.
        """
        early = self._stops_early(self._all())
        if not early:
            self._study.optuna.set_user_attr(CLOSED_AT, self.asked())
        passing("study-closed")
        if not early:
            return ""
        if self.is_reached():
            return f"The target, {self._config.objective} {self._config.target:g}, is reached."
        return (
            f"Settled: the second half of {self.asked()} trials improved "
            f"{self._config.objective} by less than {self._config.until_settled:.1%}."
        )

    def is_reached(self) -> bool:
        """Whether a trial reached the target of the objective."""
        trials = self._all() if self._config.target is not None else []
        return any(self._stops.is_reached(self._best(it)) for it in trials)

    def _stops_early(self, trials: Sequence[FrozenTrial]) -> bool:
        return self._is_settled(trials) or self.is_reached()

    def _is_settled(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether in each kind the second half of trials improved on the first by too little."""
        share = self._config.until_settled
        if share is None:
            return False
        maximize = self._config.maximize
        gains = [
            late_gain([self._best(it) for it in kind], 0.5, maximize=maximize)
            for kind in self._kinds.split(begun(trials))
            if len(kind) >= LEAST_TRIALS
        ]
        return len(gains) == len(self._kinds.outlooks) and max(gains) < share

    def _best(self, trial: FrozenTrial) -> float:
        value = best_told(trial, maximize=self._config.maximize)
        return math.nan if value is None or outcome_of(trial) in (DIVERGED, FAILED) else value

    def _is_closed(self) -> bool:
        return bool(self._study.optuna.user_attrs.get(CLOSED_AT) == self.asked())

    def most_epochs(self) -> int | None:
        """Upper bound of the epochs trained in all; None: unlimited."""
        return self._pruner.most(self._kinds.outlooks[0], self.asked())

    def ask(self) -> LiveTrial:
        """A new trial, with its first epochs granted."""
        handle = self._study.optuna.ask()
        passing("trial-asked")
        return self._begin(handle)

    def begun(self) -> Iterator[LiveTrial]:
        """The trials that earlier starts began, in the order of their numbers."""
        for frozen in self._all():
            if frozen.state == TrialState.RUNNING:
                trial = self._begin(take_up(self._study.optuna, frozen))
                trial.reported = last_reported(frozen)
                yield trial
            elif frozen.state.is_finished():
                yield self._told(frozen)

    def _begin(self, handle: optuna.Trial) -> LiveTrial:
        trial = self._live(handle, handle)
        passing("trial-suggested")
        if trial.outcome == RUNNING and not trial.recorded:
            (frozen,) = (it for it in self._all() if it.number == trial.number)
            trial.goal = granted_to(frozen) or self._first(frozen)
        return trial

    def _first(self, new: FrozenTrial) -> int:
        """Epochs granted to a new trial."""
        others = [it for it in begun(self._all()) if it.number != new.number]
        return self._pruner.first(self._kinds.of(new), others, new)

    def _told(self, frozen: FrozenTrial) -> LiveTrial:
        """A finished trial; its results are looked up only if its run is incomplete."""
        trial = self._live(frozen, FixedTrial(frozen.params, frozen.number))
        trial.outcome = outcome_of(frozen)
        trial.reason = frozen.user_attrs.get(REASON, trial.reason)
        trial.goal = frozen.user_attrs.get(EPOCHS, 0)
        trial.ended_at = seconds_of(frozen)
        return trial

    def _live(self, handle: optuna.Trial | FrozenTrial, suggesting: BaseTrial) -> LiveTrial:
        id = f"{self._study.id}/{handle.number}"
        plan = Plan(stages=(), environment={})
        refused = ""
        try:
            config = self._space.suggest(suggesting, self._config.train)
            label = config.label
            config = replace(config, unshared=id) if self._unshared else config
            plan = self._plan(config)
        except TrainerError as error:  # an invalid combination of values
            if not isinstance(error, ConfigError):
                raise
            refused = str(error)
        except Exception:  # users' code can raise anything
            refused = traceback.format_exc()
        if refused:
            config = self._config.train
            label = " ".join(f"{name}={value}" for name, value in suggesting.params.items())
        assert handle.datetime_start is not None, "a trial that was asked for has a start"
        record = record_of(
            config,
            self._data,
            plan.environment,
            id=id,
            name=f"trial {handle.number}: {label}",
            started_at=handle.datetime_start.timestamp(),
            group=self._study.id,
            parent=self._study.id,
            tags={STUDY_TAG: self._config.study_name, TRIAL_TAG: str(handle.number)},
        )
        record = replace(record, retrained_epochs=handle.user_attrs.get(RETRAINED, 0))
        if refused:  # without a config only its parameters are known
            params = {name: str(value) for name, value in suggesting.params.items()}
            record = replace(record, params=params, files={})
        trial = LiveTrial(
            number=handle.number,
            handle=handle,
            config=config,
            plan=self._plan,
            label=label,
            stages=plan.stages,
            record=record,
            objective=self._config.objective,
            second=self._config.second,
            maximize=tuple(it == "maximize" for it in self._config.directions),
            stops=self._stops,
            penalized=self._config.sampler in COMPLETE_ONLY,
            rule=self._config.checkpoints,
            goal=config.epochs,
        )
        if refused:
            trial.decide(FAILED, refused)
        return trial
