"""All checks together, and the mending of what they find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import optuna

from sweeps.doctor.finding import Finding
from sweeps.doctor.mend import mend
from sweeps.doctor.stored import check_checkpoints, check_data, check_stages
from sweeps.doctor.studies import Found, check_models, check_studies, find_studies, runs_of
from sweeps.engine.view import open_view
from sweeps.settings.execution import Places
from trainer.settings.paths import Paths
from trainer.stages.store import StageStore
from trainer.tracking.connection import connect, database_of, in_one_line
from trainer.tracking.names import STUDY_TAG, TRIALS_TAG

if TYPE_CHECKING:
    from rich.console import Console


def check(places: Places, uri: str, store: StageStore) -> tuple[list[Found], list[Finding]]:
    """Every study, and everything that does not fit.

    Raises:
        TrackingError: MLflow's store cannot be read.
        StoreError: the stage store cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    paths = Paths.here()
    every = list(find_studies(paths, places.storage))
    found = [it for it in every if isinstance(it, Found)]
    findings = [it for it in every if isinstance(it, Finding)]
    unread = {it.where for it in findings}
    database, runs = database_of(uri), []
    if database is None or database.exists():  # MLflow would make it
        with in_one_line(uri):
            client = connect(uri)
            runs = runs_of(client)
            findings += check_models(client, found)
    findings += [it for it in check_studies(found, runs) if it.where not in unread]
    findings += [*check_stages(store), *check_checkpoints(runs)]
    findings += check_data(places.data or paths.data)
    return found, findings


def fix_all(
    found: Sequence[Found], findings: Sequence[Finding], places: Places, uri: str, console: Console
) -> Iterator[str]:
    """Mend each study that has findings; yields what could not be mended."""
    asked = {
        run.data.tags[STUDY_TAG]: int(run.data.tags[TRIALS_TAG])
        for run in runs_of(connect(uri))
        if TRIALS_TAG in run.data.tags
    }
    names = {it.study for it in findings}
    for it in found:
        if it.name in names:
            least = len(it.study.get_trials(deepcopy=False)) or 1
            with open_view(console) as view:
                if left := mend(it, asked.get(it.name, least), places, view):
                    yield left
