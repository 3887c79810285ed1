"""Whether Optuna's studies, MLflow's runs and registered models agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection

from sweeps.doctor.finding import AGAIN, Finding
from sweeps.errors import SweepError
from sweeps.study.lease import holder_of
from sweeps.study.opening import ASIDE, ID, open_storage
from sweeps.study.trial import best_told, outcome_of
from trainer.settings.paths import Paths
from trainer.tracking.connection import search_runs, unbounded
from trainer.tracking.names import (
    GROUP_TAG,
    OBJECTIVE_TAG,
    RUN_TAG,
    SECOND_TAG,
    STATE_TAG,
    STUDIES_EXPERIMENT,
    STUDY_TAG,
    TRIAL_TAG,
)
from trainer.tracking.record import BEST, COMPLETE, PRUNED, RUNNING

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Found:
    """A study of Optuna's.

    Attributes:
        study: as Optuna has it.
        held: the process that runs it, for people; "": none.
    """

    study: optuna.Study
    held: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.study.study_name

    @property
    def line(self) -> str:
        """What it has, for people."""
        states = Counter(map(outcome_of, self.study.get_trials(deepcopy=False)))
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        open_trials = states[RUNNING] and not self.held and ASIDE not in self.name
        resumes = "; the command that began it resumes them" if open_trials else ""
        held = f"; {self.held}" if self.held else ""
        return f"study {self.name}: {counts or 'no trials'}{resumes}{held}"


def find_studies(paths: Paths, storage_url: str | None) -> Iterator[Found | Finding]:
    """Every sweep in Optuna's storage: all journals of the folder, or the database of the URL.

    Studies of other programs are left out; a journal that cannot be read is a finding.
    """
    journals = sorted(paths.journal("x").parent.glob("*.journal"))
    names = [""] if storage_url else [path.name.removesuffix(".journal") for path in journals]
    for journal in names:
        try:
            storage = open_storage(journal, paths, storage_url)
            for name in optuna.get_all_study_names(storage=storage):
                study = optuna.load_study(study_name=name, storage=storage)
                if ID in study.user_attrs:
                    yield Found(study, holder_of(study))
        except SweepError as error:
            yield Finding(f"study {journal}", str(error), "as it says")


def runs_of(client: MlflowClient) -> list[Any]:
    """All runs of studies in MLflow."""
    experiment = client.get_experiment_by_name(STUDIES_EXPERIMENT)
    if experiment is None:
        return []
    runs = search_runs(client, experiment.experiment_id, "")
    return [run for run in runs if RUN_TAG in run.data.tags]


def check_studies(found: Sequence[Found], runs: Sequence[Any]) -> Iterator[Finding]:
    """Check that each study's runs in MLflow are those of its trials.

    While a process runs a study, its runs lag behind, and it is not checked.
    """
    by_group = defaultdict(list)
    for run in runs:
        by_group[run.data.tags[GROUP_TAG]].append(run)
    for it in found:
        own = by_group.pop(it.study.user_attrs.get(ID, ""), [])
        if not it.held:
            yield from _check_runs(it, own)
            if ASIDE not in it.name:  # others are not delivered any more
                yield from _check_trials(it, own)
    for left in by_group.values():
        name = left[0].data.tags.get(STUDY_TAG, "without a name")
        yield Finding(
            f"study {name}",
            f"MLflow has {len(left)} of its runs, Optuna's storage has no such study",
            "give its --storage; without one it can be read, but not continued",
        )


def _check_runs(found: Found, runs: Sequence[Any]) -> Iterator[Finding]:
    where = f"study {found.name}"
    for run in runs:
        tags, name = run.data.tags, run.info.run_name
        if run.info.status == "RUNNING":
            what = f"{name} is RUNNING in MLflow, but no process runs the study"
            yield Finding(where, what, AGAIN, found.name)
        if tags.get(STUDY_TAG) != found.name:
            what = f"{name} is in MLflow of study {tags.get(STUDY_TAG)}"
            yield Finding(where, what, AGAIN, found.name.partition(ASIDE)[0])
    for record, count in Counter(run.data.tags[RUN_TAG] for run in runs).items():
        if count > 1:
            yield Finding(where, f"MLflow has {count} runs of record {record}", AGAIN, found.name)


def _check_trials(found: Found, runs: Sequence[Any]) -> Iterator[Finding]:
    where = f"study {found.name}"
    by_trial = {run.data.tags[TRIAL_TAG]: run for run in runs if TRIAL_TAG in run.data.tags}
    trials = found.study.get_trials(deepcopy=False)
    is_known = any(trial.state.is_finished() for trial in trials)
    if is_known and not any(OBJECTIVE_TAG in run.data.tags for run in runs):
        yield Finding(where, "MLflow does not have its own run", AGAIN, found.name)
    tags: Mapping[str, str] = next(
        (run.data.tags for run in runs if OBJECTIVE_TAG in run.data.tags), {}
    )
    for trial in trials:
        outcome, run = outcome_of(trial), by_trial.pop(str(trial.number), None)
        if outcome == RUNNING:
            continue
        what = ""
        if run is None:
            what = f"trial {trial.number} is {outcome}, but MLflow does not have its run"
        elif (state := run.data.tags.get(STATE_TAG)) != outcome:
            what = f"trial {trial.number} is {outcome}, but {state} in MLflow"
        elif outcome in (COMPLETE, PRUNED) and tags and SECOND_TAG not in tags:
            told = best_told(trial, maximize=found.study.direction == StudyDirection.MAXIMIZE)
            logged = run.data.metrics.get(BEST + tags[OBJECTIVE_TAG])
            if told is not None and (logged is None or unbounded(logged) != told):
                what = f"the best value of trial {trial.number} is {told}, but {logged} in MLflow"
        if what:
            yield Finding(where, what, AGAIN, found.name)
    for number in by_trial:
        what = f"MLflow has a run of trial {number}, Optuna's storage has no such trial"
        yield Finding(where, what, "delete the run in MLflow, or bring back the study's journal")


def check_models(client: MlflowClient, found: Sequence[Found]) -> Iterator[Finding]:
    """Check that each registered model of a study is whole."""
    for it in found:
        for version in client.search_model_versions(f"name='{it.name}'"):
            if version.status != "READY":
                yield Finding(
                    f"model {it.name}",
                    f"version {version.version} is {version.status}",
                    f"python -m sweeps.promote --study {it.name}",
                )
