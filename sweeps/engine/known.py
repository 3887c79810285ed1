"""Known points: configurations that a study tries first, before its sampler suggests any."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from sweeps.settings.config import SweepConfig
from trainer.errors import ConfigError
from trainer.killpoints import passing
from trainer.settings.flags import parse_settings

POINT = "enqueued"
"""User attribute of an enqueued trial: its point, by which a later start finds it."""


def known_points(config: SweepConfig, tracking_uri: str | None) -> list[dict[str, Any]]:
    """Optuna's parameters of every point that `config.enqueue` names, in order, without duplicates.

    Args:
        config: the sweep.
        tracking_uri: MLflow's store, for the trials of other studies.

    Raises:
        ConfigError: a point is not in the search space.
        SweepError: a study cannot be read.
    """
    points: dict[str, dict[str, Any]] = {}
    for text in config.enqueue:
        for where, values in _read(text, config, tracking_uri):
            if not values:
                names = ", ".join(config.search_space.searched) or "what its function suggests"
                raise ConfigError(f"--enqueue {where}: a point must have some of {names}.")
            try:
                params = config.search_space.params(values, config.train)
            except ConfigError as error:
                raise ConfigError(f"--enqueue {where}: {error}") from error
            points.setdefault(json.dumps(params, sort_keys=True), params)
    if len(points) > config.trials:
        raise ConfigError(
            f"trials must be at least {len(points)}, the points that are enqueued, but got "
            f"{config.trials}."
        )
    return list(points.values())


def enqueue(study: optuna.Study, points: Sequence[dict[str, Any]]) -> int:
    """Enqueue each point that the study was not given before, also by a start that was killed.

    Returns:
        Number of points that were enqueued.
    """
    given = {trial.user_attrs.get(POINT) for trial in study.get_trials(deepcopy=False)}
    named = {json.dumps(params, sort_keys=True): params for params in points}
    new = {name: params for name, params in named.items() if name not in given}
    for name, params in new.items():
        study.enqueue_trial(params, user_attrs={POINT: name})
        passing("point-enqueued")
    return len(new)


def _read(
    text: str, config: SweepConfig, tracking_uri: str | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """The points as they are written, each with its place for messages."""
    names = config.search_space.searched
    if found := re.fullmatch(r"study:(.+):top=([1-9]\d*)", text):
        return _best(found[1], int(found[2]), names, tracking_uri)
    if "=" in text and not text.startswith("study:") and not text.endswith((".csv", ".json")):
        return [(text, parse_settings(re.split(r",(?=[\w.]+=)", text)))]
    try:
        content = Path(text).read_text(encoding="utf-8")
        if text.endswith(".csv"):
            reader = csv.DictReader(content.splitlines())
            return [(f"{text}:{reader.line_num}", _cells(row, names)) for row in reader]
        rows = json.loads(content)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("it is no list of objects")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "--enqueue must be NAME=VALUE,..., a .csv file with names on top, a .json file with a "
            f"list of objects, or study:NAME:top=K, but got {text!r}: {error}."
        ) from error
    return [(f"{text}, point {number}", row) for number, row in enumerate(rows, start=1)]


def _best(
    study: str, top: int, names: Sequence[str], tracking_uri: str | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """The best trials of another study, restricted to the parameters that this one searches."""
    from sweeps.report.compare.ranking import rank
    from sweeps.report.reading.frames import load_study

    rows = rank(load_study(study, tracking_uri)).head(top)
    return [
        (f"trial {row['trial']} of study {study}", _cells(row.dropna().to_dict(), names))
        for _, row in rows.iterrows()
    ]


def _cells(row: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    """The values of these names in a row of a table of trials; empty cells are left out."""
    given = {name: row.get(name) for name in names}
    return parse_settings([f"{name}={it}" for name, it in given.items() if it not in (None, "")])
