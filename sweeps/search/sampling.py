"""Samplers by the names of their classes, each made so that it repeats.

What Optuna's classes lack for that is mended here and in `sequences`; the others are taken as they
are.
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

GROUPED_TPE = True
"""Whether TPE models the parameters of a conditional space in groups that occur together.

`benchmarks/conditional_space.py`: where each optimizer has an lr of its own, the best of 50 trials
lies 0.70 times as far from the optimum as without (0.58 to 0.86, 95 %); elsewhere no difference."""

POPULATION = 10
"""Trials in a generation of NSGA: 50 trials are five generations; of Optuna's 50 they would be the
first one, which is random."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sampler is to search.

    Attributes:
        seed: of the search.
        conditional: whether some parameters occur only with certain values of others.
        points: every point of the space, as parameters by name; for a grid only.
        outlook: of the study; None where nothing is to be suggested yet.
    """

    seed: int
    conditional: bool
    points: Sequence[Mapping[str, Any]] = ()
    outlook: Outlook | None = None


class _BruteForce(BruteForceSampler):
    """Leaves it to the sweep when a study ends: Optuna's own stops it, as only `optimize` may."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing."""


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
        # with margin, for grids, which all of the default space is
        CMAES: {"with_margin": True, "warn_independent_sampling": False},
        GP: {"warn_independent_sampling": False},
        NSGAII: {"population_size": POPULATION},
        NSGAIII: {"population_size": POPULATION},
    },
    supplied=("seed", "points", "outlook"),
    nicknames={"bayesian": TPE, "sobol": QMC},
)


def make_sampler(name: str, args: Mapping[str, Any], search: Search) -> BaseSampler:
    """The sampler of a class, with further arguments of it, for a search.

    Raises:
        ConfigError: there is no such class, or it refuses the arguments.
    """
    if (
        name == TPE
        and search.conditional
        and GROUPED_TPE
        and not {"multivariate", "group"} & {*args}
    ):
        args = {"multivariate": True, "group": True, **args}
    make = SAMPLERS.maker(name, args)
    sampler = make(
        seed=search.seed, points=search.points, outlook=search.outlook
    )  # raises before anything starts
    if isinstance(sampler, (SettledSampler, FrugalSampler)):
        return sampler
    return RepeatableSampler(lambda seed: make(seed=seed), search.seed)
