"""An earlier study, from whose trials the sampler of another one learns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from sweeps.errors import StudyMismatch, UnknownStudy
from sweeps.search.allocation.curves import DIVERGED_CONSTRAINT
from sweeps.search.names import COMPLETE_ONLY
from sweeps.settings.config import SweepConfig
from sweeps.study.journal import journal_storage
from sweeps.study.trial import outcome_of
from trainer.errors import ConfigError, unknown
from trainer.settings.paths import Paths
from trainer.tracking.record import DIVERGED, FAILED


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What a study can learn from an earlier one.

    Attributes:
        id: of the earlier study.
        trials: as if this study had asked for them, by their numbers there.
        note: for people: how many they are, and why others are not among them.
    """

    id: str
    trials: Mapping[int, FrozenTrial]
    note: str

    @property
    def settled(self) -> dict[str, Any]:
        """What finds the same trials again when the earlier study has grown, as JSON values."""
        return {"id": self.id, "trials": [*self.trials]}


def read_earlier(
    config: SweepConfig,
    paths: Paths,
    storage: BaseStorage | None = None,
    settled: Mapping[str, Any] | None = None,
) -> Earlier:
    """What the study that `config.warm_start` names can teach this one's sampler.

    Args:
        config: the sweep.
        paths: say where journals lie.
        storage: where the study is, in place of its journal.
        settled: what an earlier start settled on: other trials do not count.

    Raises:
        UnknownStudy: there is no such study.
        StudyMismatch: it was judged by something else, or none of its trials fits this space.
    """
    name = config.warm_start
    study = _open(config, paths, storage, settled["id"] if settled else "")
    settings, objective = study.user_attrs["settings"], ",".join(config.objectives)
    if settings["objective"] != objective:
        raise StudyMismatch(
            f"A study that is learned from must be judged by {objective}, as this one is, but "
            f"study {name!r} is judged by {settings['objective']}."
        )
    reader = _Reader(config, settings)
    trials, left = {}, []
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished() or (settled and trial.number not in settled["trials"]):
            continue
        try:
            trials[trial.number] = reader.read(trial)
        except ConfigError as error:
            left.append(f"trial {trial.number}: {error}")
    if not trials:
        reason = f"the first, {left[0]}" if left else "none has ended."
        raise StudyMismatch(
            f"Study {name!r} must have a trial that this one can learn from, but has none: {reason}"
        )
    note = f"The sampler learns from {_counted(len(trials), 'trial')} of study {name}"
    if left:
        note += f", and not from {_counted(len(left), 'other')}; the first is {left[0]}"
    else:
        note += "."
    return Earlier(id=study.user_attrs["id"], trials=trials, note=note)


class _Reader:
    """Reads trials of a study that has `settings` as if the sweep of `config` had asked them."""

    def __init__(self, config: SweepConfig, settings: Mapping[str, Any]) -> None:
        self._base = config.train
        self._space = config.search_space
        self._distributions = self._space.distributions(self._base)
        self._sampler = config.sampler
        self._complete_only = config.sampler in COMPLETE_ONLY
        self._constants = _constants(settings, self._space.always)

    def read(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial; raises a ConfigError where nothing can be learned from it here."""
        outcome = outcome_of(trial)
        if outcome == FAILED:
            raise ConfigError("it failed.")
        if self._complete_only and trial.state != TrialState.COMPLETE:
            raise ConfigError(
                f"it ended {outcome}, and {self._sampler} learns from complete ones only."
            )
        params, distributions = self._placed(trial)
        barred = outcome == DIVERGED and not self._complete_only  # others have a penalty for that
        return create_trial(
            state=TrialState.PRUNED if barred else trial.state,
            values=None if barred else trial.values,
            params=params,
            distributions=distributions,
            intermediate_values=None if barred else trial.intermediate_values,
            constraints={DIVERGED_CONSTRAINT: 1.0} if barred else None,
        )

    def _placed(self, trial: FrozenTrial) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Its parameters as this space has them."""
        if self._distributions:
            params = self._space.params(self._values(trial), self._base)
            return params, {key: self._distributions[key] for key in params}
        fixed = FixedTrial(trial.params, trial.number)  # only the function knows its parameters
        with warnings.catch_warnings():  # of values that are out of their range
            warnings.simplefilter("error")
            self._space.suggest(fixed, self._base)
        for key in trial.params:
            if key not in fixed.distributions:
                raise ConfigError(unknown("parameter", key, fixed.distributions))
        return trial.params, fixed.distributions

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        """Values as people see them: another space may have another parameter for the same."""
        names = self._space.searched
        seen = {name: trial.user_attrs[name] for name in names if name in trial.user_attrs}
        for key, value in trial.params.items():
            plain = key.removesuffix("_index")  # of a place in a grid; what stands there is in seen
            found = [it for it in names if f".{key}".endswith(f".{it}")]
            found += [it for it in seen if f".{plain}".endswith(f".{it}")]
            if not found:
                raise ConfigError(unknown("name in the space", plain, names))
            seen.setdefault(max(found, key=len), value)
        values = self._constants | seen
        for name in self._space.always if self._complete_only else ():
            if name not in values and len(self._space.choices(name)) != 1:
                raise ConfigError(f"it has no {name}, which {self._sampler} must know.")
        return values


def _constants(settings: Mapping[str, Any], always: Sequence[str]) -> dict[str, Any]:
    """What all trials of a study had in common of what every trial has here, by name."""
    space = settings["space"]
    tables = [table for tables in space.get("when", {}).values() for table in tables.values()]
    given = {**settings, **settings["optimizer_args"], **space}
    return {
        name: given[name]
        for name in always
        if isinstance(given.get(name), (bool, int, float, str))
        and not any(name in table for table in tables)
    }


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _open(config: SweepConfig, paths: Paths, storage: BaseStorage | None, id: str) -> optuna.Study:
    """The study that is named; with an id, that one, which may have been set aside since then."""
    name = config.warm_start
    journal = paths.journal(name.partition("~")[0])  # what was set aside lies with its successor
    if storage is None and journal.exists():
        storage = journal_storage(journal)
    names = []
    if storage is not None:
        names = optuna.get_all_study_names(storage=storage)
        for known in (it for it in names if it == name or (id and it.startswith(f"{name}~"))):
            study = optuna.load_study(study_name=known, storage=storage)
            if {"id", "settings"} <= study.user_attrs.keys() and id in ("", study.user_attrs["id"]):
                return study
    if id or name in names:
        raise UnknownStudy(
            f"Study {name!r} must be "
            + ("the one that this study began to learn from." if id else "one of sweeps.run.")
        )
    journals = {path.stem for path in journal.parent.glob("*.journal")}
    others = {*names, *journals} - {config.study_name}
    if not others:
        raise UnknownStudy(f"Study {name!r} must be there to be learned from, but none is.")
    raise UnknownStudy(unknown("study", name, others))
