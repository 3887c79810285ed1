"""Names of samplers and pruners, and what each of them supports; imports no Optuna."""

from __future__ import annotations

FRUGAL = "FrugalSampler"
TPE, GP, CMAES = "TPESampler", "GPSampler", "CmaEsSampler"
NSGAII, NSGAIII = "NSGAIISampler", "NSGAIIISampler"
GRID, BRUTE_FORCE, QMC = "GridSampler", "BruteForceSampler", "QMCSampler"

EVERY_POINT = (GRID, BRUTE_FORCE)
"""Those that try every point of a space, which must have an end of them."""

SETTLED = (*EVERY_POINT, QMC)
"""Those that go through points of the whole space, whatever was found."""

ONE_OBJECTIVE_ONLY = (CMAES, FRUGAL)
TWO_OBJECTIVES_ONLY = (NSGAII, NSGAIII)
"""Those that search by one objective, or by two, and not by the other number."""

COMPLETE_ONLY = (CMAES, GP, NSGAII, NSGAIII)
"""Those that learn from complete trials only: not from pruned ones, nor from failed ones."""

NO_PRUNER = "none"
"""Stops no trial; Optuna's NopPruner is the same."""

FRUGAL_PRUNER, PROMOTION_PRUNER = "FrugalPruner", "PromotionPruner"
