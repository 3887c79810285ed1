"""The importance of parameters, beside what Optuna finds."""

from __future__ import annotations

import random
import warnings
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial
from studies import frames_of

from sweeps.report.compare.importance import importances
from sweeps.report.compare.ranking import rank
from trainer.tracking.record import COMPLETE

DRAWS: dict[str, Any] = {
    "optimizer": lambda draw: draw.choice(["SGD", "Adam", "AdamW"]),
    "lr": lambda draw: 10 ** draw.uniform(-4, 0),
    "gamma": lambda draw: draw.choice([0.1, 0.2, 0.3]),
    "step_size": lambda draw: draw.randint(1, 7),
    "warmup": lambda draw: draw.choice([None, 0, 200]),
    "shuffle": lambda draw: draw.random() < 0.5,
    "weight_decay": lambda draw: 0.5,
}


def distribution(values: pd.Series[Any]) -> BaseDistribution:
    """The distribution that a column's values may have been drawn from."""
    if values.dtype == bool or not pd.api.types.is_numeric_dtype(values):
        return CategoricalDistribution(sorted(set(map(str, values))))
    low, high = values.min(), values.max()
    if (values % 1 == 0).all():
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log=bool(high >= 10 * low > 0))


def value_of(value: Any) -> Any:
    """The value as Optuna takes it."""
    return str(value) if isinstance(value, bool) else value


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
def test_importances_are_those_that_optuna_finds(seed: int, objective: str) -> None:
    """Of numbers, logarithmic ones, texts and truths, of some of which trials have none."""
    draw = random.Random(seed)
    trials = []
    for _ in range(draw.choice([10, 31, 80])):
        params = {name: give(draw) for name, give in DRAWS.items()}
        value = round(params["gamma"] * params["step_size"] / 9 + draw.random() / 3, 2)
        trials.append((draw.choice([COMPLETE, COMPLETE, "pruned"]), [value], params))
    trials += [(COMPLETE, [0.1], trials[0][2])] * 10
    frames = frames_of(*trials, objective=objective)
    ranked = rank(frames)
    complete = ranked[ranked["state"] == COMPLETE]
    study = optuna.create_study(direction="maximize" if "accuracy" in objective else "minimize")
    spaces = {name: distribution(frames.trials[name].dropna()) for name in DRAWS}
    for row in complete.to_dict("records"):
        params = {name: value_of(row[name]) for name in DRAWS if not pd.isna(row[name])}
        given = {name: spaces[name] for name in params}
        study.add_trial(
            create_trial(params=params, distributions=given, value=row[f"best_{objective}"])
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that few trials have
        theirs = optuna.importance.get_param_importances(study)
    ours = importances(frames, complete, [*DRAWS])
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-12)
    assert list(ours.values()) == sorted(ours.values(), reverse=True)
