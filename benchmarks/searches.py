"""Searches of other tools, each as its documents show it, with a table in place of training.

What all have in common: one worker; the space has the rates of each optimizer, in order, then
step_size and gamma; a diverged trial is pruned in Optuna, elsewhere its loss is `DIVERGED`.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from requested import Study, Trial
from tabulated import Point, Tabulated

DIVERGED = 5.0
"""Twice that of guessing among ten classes."""

Search = Callable[[Study, int], None]
"""Requests epochs of a study until it is over; takes the search seed."""


def _suggested(trial: Any, table: Tabulated) -> Point:
    """Optuna's define-by-run space."""
    optimizer = trial.suggest_categorical("optimizer", list(table.rates))
    rates = table.rates[optimizer]
    lr = rates[trial.suggest_int(f"lr_{optimizer}", 0, len(rates) - 1)]
    low, high = table.step_sizes[0], table.step_sizes[-1]
    step_size = trial.suggest_int("step_size", low, high, step=low)
    gamma = table.gammas[trial.suggest_int("gamma", 0, len(table.gammas) - 1)]
    return Point(optimizer, lr, step_size, gamma)


def optuna_study(sampler: str, pruner: str | None = None, **arguments: Any) -> Search:
    """A study of Optuna's: the objective reports each epoch and returns the lowest val_loss."""

    def search(study: Study, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        table = study.table

        def objective(trial: optuna.Trial) -> float:
            run = study.start(_suggested(trial, table))
            lowest = np.inf
            for epoch, value in enumerate(run.values(), 1):
                if not np.isfinite(value):
                    raise optuna.TrialPruned
                lowest = min(lowest, value)
                if pruner is not None:
                    trial.report(value, epoch)
                    if trial.should_prune():
                        raise optuna.TrialPruned
            return float(lowest)

        optuna.create_study(
            study_name=str(seed),  # from which Hyperband draws brackets
            sampler=getattr(optuna.samplers, sampler)(seed=seed),
            pruner=getattr(optuna.pruners, pruner or "NopPruner")(**arguments),
        ).optimize(objective)

    return search


def syne_tune(scheduler: str, **options: Any) -> Search:
    """A scheduler of Syne Tune's that pauses and resumes trials, called as its Tuner would."""

    def search(study: Study, seed: int) -> None:
        from syne_tune.backend.trial_status import Trial as TheirTrial
        from syne_tune.config_space import choice, finrange, logordinal
        from syne_tune.optimizer import legacy_baselines

        table = study.table
        space = {
            "optimizer": choice(list(table.rates)),
            "step_size": finrange(
                table.step_sizes[0], table.step_sizes[-1], len(table.step_sizes), cast_int=True
            ),
            "gamma": finrange(table.gammas[0], table.gammas[-1], len(table.gammas)),
            "epochs": table.epochs,
        } | {f"lr_{name}": logordinal(list(rates)) for name, rates in table.rates.items()}
        if scheduler == "BOHB":
            # d + 1 as in its paper; Syne Tune's d never lets the model be fit within 50 trials
            options["search_options"] = {"num_min_data_points": len(space)}
        made = getattr(legacy_baselines, scheduler)(
            space,
            metric="val_loss",
            mode="min",
            resource_attr="epoch",
            max_resource_attr="epochs",
            random_seed=seed,
            **options,
        )
        runs: list[tuple[TheirTrial, Trial]] = []
        while (suggestion := made.suggest(len(runs))) is not None:
            if suggestion.spawn_new_trial_id:
                config = suggestion.config
                optimizer = config["optimizer"]
                gamma = min(table.gammas, key=lambda value: abs(value - config["gamma"]))
                point = Point(optimizer, config[f"lr_{optimizer}"], config["step_size"], gamma)
                theirs = TheirTrial(len(runs), config, None)
                runs.append((theirs, study.start(point)))
                made.on_trial_add(theirs)
            else:
                theirs = runs[suggestion.checkpoint_trial_id][0]
                if suggestion.config is not None:
                    theirs.config = suggestion.config
            _, run = runs[theirs.trial_id]
            epochs = range(run.trained + 1, table.epochs + 1)
            for epoch in epochs:
                # one that diverged has nothing more to train, and is as bad at every later rung
                value = DIVERGED if run.is_over else run.epoch()
                result = {"val_loss": min(value, DIVERGED), "epoch": epoch}
                decision = made.on_trial_result(theirs, result)
                if decision != "CONTINUE":
                    made.on_trial_remove(theirs)
                    break
            else:
                made.on_trial_complete(theirs, result)

    return search


def ray_tune() -> Search:
    """Ray Tune's ASHAScheduler fed by OptunaSearch, called as its controller would."""

    def search(study: Study, seed: int) -> None:
        import optuna
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        table = study.table
        points: dict[int, Point] = {}

        def space(trial: optuna.Trial) -> None:
            points[trial.number] = _suggested(trial, table)

        searcher = OptunaSearch(space, metric="val_loss", mode="min", seed=seed)
        scheduler = ASHAScheduler(
            metric="val_loss", mode="min", max_t=table.epochs, grace_period=1, reduction_factor=3
        )
        for number in itertools.count():
            name = str(number)
            theirs = SimpleNamespace(trial_id=name)
            searcher.suggest(name)
            run = study.start(points[number])
            scheduler.on_trial_add(None, theirs)
            for epoch, value in enumerate(run.values(), 1):
                result = {"val_loss": min(value, DIVERGED), "training_iteration": epoch}
                if epoch == table.epochs or run.is_over:
                    break
                searcher.on_trial_result(name, result)
                if scheduler.on_trial_result(None, theirs, result) == "STOP":
                    break
            scheduler.on_trial_complete(None, theirs, result)
            searcher.on_trial_complete(name, result)

    return search


def smac_multi_fidelity() -> Search:
    """SMAC3's multi-fidelity facade, asked and told; each of its trials trains from scratch."""

    def search(study: Study, seed: int) -> None:
        from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Integer
        from smac import MultiFidelityFacade, Scenario
        from smac.runhistory.dataclasses import TrialValue

        table = study.table
        optimizer = Categorical("optimizer", list(table.rates))
        space = ConfigurationSpace(seed=seed)
        space.add(optimizer)
        space.add(Integer("step_size", (0, len(table.step_sizes) - 1)))
        space.add(Integer("gamma", (0, len(table.gammas) - 1)))
        for name, rates in table.rates.items():
            lr = Integer(f"lr_{name}", (0, len(rates) - 1))
            space.add(lr, EqualsCondition(lr, optimizer, name))
        with tempfile.TemporaryDirectory() as folder:
            scenario = Scenario(
                space,
                output_directory=Path(folder),
                deterministic=True,
                n_trials=study.trials,
                min_budget=1,
                max_budget=table.epochs,
                seed=seed,
            )
            made = MultiFidelityFacade(scenario, lambda config, seed, budget: 0.0, overwrite=True)
            while True:
                asked = made.ask()
                config = asked.config
                name = config["optimizer"]
                run = study.start(
                    Point(
                        name,
                        table.rates[name][config[f"lr_{name}"]],
                        table.step_sizes[config["step_size"]],
                        table.gammas[config["gamma"]],
                    )
                )
                values = list(itertools.islice(run.values(), math.ceil(asked.budget)))
                lowest = min(values) if np.isfinite(values[-1]) else DIVERGED
                made.tell(asked, TrialValue(cost=lowest))

    return search
