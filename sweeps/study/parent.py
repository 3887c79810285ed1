"""The record of a study's own run in MLflow, the parent of its trials' runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.settings.config import SweepConfig
from sweeps.study.opening import OpenStudy
from trainer.tracking.names import (
    COMPARE_TAG,
    DIRECTIONS_TAG,
    OBJECTIVE_TAG,
    SECOND_TAG,
    STUDY_FILE,
    STUDY_TAG,
    TARGET_TAG,
    TRIALS_TAG,
)
from trainer.tracking.record import RunRecord


def parent_record(
    config: SweepConfig,
    study: OpenStudy,
    *,
    trials: int,
    note: Sequence[str],
    metrics: Mapping[str, float],
) -> RunRecord:
    """The record of the study's own run while it runs.

    Args:
        config: the sweep.
        study: held by this process.
        trials: target number of trials.
        note: paragraphs of MLflow's description, below the user's own.
        metrics: single values.
    """
    settings = config.settings()
    about = {
        "study": config.study_name,
        "trials": trials,
        "direction": ",".join(config.directions),
        **settings,
    }
    return RunRecord(
        id=study.id,
        group=study.id,
        name=config.study_name,
        started_at=study.created_at,
        params=_params(settings),
        tags={
            **study.tags,
            STUDY_TAG: config.study_name,
            OBJECTIVE_TAG: config.objective,
            DIRECTIONS_TAG: ",".join(config.directions),
            **({SECOND_TAG: config.second} if config.second else {}),
            TRIALS_TAG: str(trials),
            **({TARGET_TAG: repr(config.target)} if config.target is not None else {}),
            **({COMPARE_TAG: config.compare} if config.compare else {}),
            "mlflow.note.content": "\n\n".join(filter(None, (study.description, *note))),
        },
        files={STUDY_FILE: json.dumps(about, indent=2)},
        metrics=metrics,
    )


def _params(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as MLflow's parameters; those without a value are omitted.

    They are the same at every start, as MLflow requires: a study has one set of settings.
    """
    params: dict[str, str] = {}
    for name, value in settings.items():
        items = {f"{name}.{key}": it for key, it in value.items()} if _is_group(value) else {}
        for key, item in (items or {name: value}).items():
            if item not in (None, "", {}):
                params[key] = item if isinstance(item, str) else json.dumps(item)
    return params


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0
