"""Samplers by class name, each made reproducible across restarts.

Optuna's samplers are wrapped in `RepeatableSampler`; those for which that is not enough are
replaced here and in `sequences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna.samplers
from optuna.samplers import BaseSampler, BruteForceSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.allocation.outlook import Outlook
from sweeps.search.classes import Classes
from sweeps.search.frugal import FrugalSampler
from sweeps.search.names import BRUTE_FORCE, CMAES, FRUGAL, GP, GRID, NSGAII, NSGAIII, QMC, TPE
from sweeps.search.repeatable import RepeatableSampler
from sweeps.search.sequences import GridSampler, SettledSampler, SobolSampler

POPULATION = 10
"""Population size of NSGA: 50 trials are five generations. With Optuna's default of 50, all of them
would be in the first generation, which is random."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search for which a sampler is created.

    Attributes:
        seed: seed of the search.
        conditional: whether some parameters exist only for certain values of others.
        points: all points of the space, for a grid only.
        outlook: outlook of the study; None if the sampler is only checked, not used.
    """

    seed: int
    conditional: bool
    points: Sequence[Mapping[str, Any]] = ()
    outlook: Outlook | None = None


class _BruteForce(BruteForceSampler):
    """BruteForceSampler without `study.stop()`, which Optuna allows only within `optimize`."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Do nothing."""


SAMPLERS: Classes[BaseSampler] = Classes(
    kind="sampler",
    base=BaseSampler,
    optuna=optuna.samplers,
    own={
        FRUGAL: FrugalSampler,
        GRID: GridSampler,
        QMC: SobolSampler,
        BRUTE_FORCE: _BruteForce,
    },
    defaults={
        # with margin for discrete parameters, as in the default space
        CMAES: {"with_margin": True, "warn_independent_sampling": False},
        GP: {"warn_independent_sampling": False},
        NSGAII: {"population_size": POPULATION},
        NSGAIII: {"population_size": POPULATION},
    },
    supplied=("seed", "points", "outlook"),
    nicknames={"bayesian": TPE, "sobol": QMC},
)


def make_sampler(name: str, args: Mapping[str, Any], search: Search) -> BaseSampler:
    """Create a sampler by class name, with arguments, for a search.

    Raises:
        ConfigError: the class does not exist, or the arguments are invalid.
    """
    if name == TPE and search.conditional and not {"multivariate", "group"} & {*args}:
        # if each optimizer has its own lr, the best of 50 trials then is at 0.70 times the distance
        # to the optimum (95 % interval 0.58 to 0.86); see benchmarks/conditional_space.py
        args = {"multivariate": True, "group": True, **args}
    make = SAMPLERS.maker(name, args)
    sampler = make(seed=search.seed, points=search.points, outlook=search.outlook)
    if isinstance(sampler, (SettledSampler, FrugalSampler)):
        return sampler
    return RepeatableSampler(lambda seed: make(seed=seed), search.seed)
