"""`mend`: the reconciliation of a sweep's start, without training."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from sweeps.doctor.studies import Found
from sweeps.engine.progress import View
from sweeps.engine.session import run_sweep
from sweeps.errors import StudyMismatch
from sweeps.report.reading.command import base_of
from sweeps.settings.config import SweepConfig
from sweeps.settings.execution import Places
from sweeps.space.described import is_function, to_toml
from sweeps.study.opening import SETTINGS
from trainer.errors import TrainerError

_NO_TIME = 1e-9  # seconds in which epochs may begin


def mend(found: Found, asked: int, places: Places, view: View) -> str:
    """Start the study's sweep with no time to train; what could not be mended, or "".

    Args:
        found: a study that no process runs.
        asked: target number of trials.
        places: where things are stored.
        view: shows what happens.
    """
    try:
        run_sweep(_config(found.study.user_attrs[SETTINGS], found.name, asked), places, view)
    except (StudyMismatch, KeyError):  # of an earlier version
        return f"study {found.name}: only the command that began it can mend it"
    except TrainerError as error:
        return f"study {found.name}: {error}"
    return ""


def _config(settings: Mapping[str, Any], name: str, asked: int) -> SweepConfig:
    """The sweep of a study with these settings."""
    first, _, second = settings["objective"].partition(",")
    space = settings["space"]
    fields = ("direction", "sampler", "sampler_args", "pruner", "pruner_args", "search_seed")
    given = {it: settings[it] for it in (*fields, "compare", "patience") if it in settings}
    return SweepConfig(
        train=base_of(settings),
        study=name,
        trials=asked,
        objective=first,
        second=second,
        space=space["function"] if is_function(space) else tomllib.loads(to_toml(space)),
        executor="inline",
        timeout=_NO_TIME,
        **given,
    )
