"""Runs of studies that earlier starts left in MLflow: found by name, and set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.killpoints import passing
from trainer.tracking.connection import search_runs
from trainer.tracking.mlflow_tracker import STATUS
from trainer.tracking.names import GROUP_TAG, STATE_TAG, STUDY_TAG, TRIALS_TAG
from trainer.tracking.record import INTERRUPTED

if TYPE_CHECKING:
    from mlflow import MlflowClient


def groups_of(client: MlflowClient, experiment_id: str, study: str) -> set[str]:
    """The groups whose runs are shown as the study of this name."""
    own_runs = f"tags.`{STUDY_TAG}` = '{study}' AND tags.`{TRIALS_TAG}` LIKE '%'"
    found = search_runs(client, experiment_id, own_runs)
    return {run.data.tags[GROUP_TAG] for run in found}


def set_aside(client: MlflowClient, experiment_id: str, group: str, name: str) -> None:
    """Show all runs of a group under another study's name, and none of them as running.

    The study's own run comes last: where this is cut off, `groups_of` still has the group.
    """
    runs = search_runs(client, experiment_id, f"tags.`{GROUP_TAG}` = '{group}'")
    for run in sorted(runs, key=lambda run: TRIALS_TAG in run.data.tags):
        if run.info.status == "RUNNING":
            client.set_tag(run.info.run_id, STATE_TAG, INTERRUPTED)
            passing("run-interrupted")
            client.set_terminated(run.info.run_id, STATUS[INTERRUPTED])
            passing("run-closed")
        client.set_tag(run.info.run_id, STUDY_TAG, name)
        passing("run-renamed")
