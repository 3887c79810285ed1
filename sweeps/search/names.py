"""Names of samplers and pruners, and what each supports; does not import Optuna."""

from __future__ import annotations

FRUGAL = "FrugalSampler"
TPE, GP, CMAES = "TPESampler", "GPSampler", "CmaEsSampler"
NSGAII, NSGAIII = "NSGAIISampler", "NSGAIIISampler"
GRID, BRUTE_FORCE, QMC = "GridSampler", "BruteForceSampler", "QMCSampler"

EVERY_POINT = (GRID, BRUTE_FORCE)
"""Samplers that try every point of a finite space."""

SETTLED = (*EVERY_POINT, QMC)
"""Samplers that follow a predetermined sequence of points, whatever the results."""

ONE_OBJECTIVE_ONLY = (CMAES, FRUGAL)
TWO_OBJECTIVES_ONLY = (NSGAII, NSGAIII)
"""Samplers that support only one objective, or only two."""

COMPLETE_ONLY = (CMAES, GP, NSGAII, NSGAIII)
"""Samplers that learn from complete trials only, not from pruned or failed ones."""

NO_PRUNER = "none"
"""Name for Optuna's NopPruner, which stops no trial."""

FRUGAL_PRUNER, PROMOTION_PRUNER = "FrugalPruner", "PromotionPruner"
