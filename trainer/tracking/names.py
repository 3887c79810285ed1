"""Names in MLflow: experiments, tags, files and system metrics, for writers and readers.

Names of training metrics are in `trainer.metrics`.
"""

from __future__ import annotations

RUNS_EXPERIMENT, STUDIES_EXPERIMENT = "trainer", "sweeps"
"""Experiments of single runs (`python -m trainer`) and of all studies."""

RUN_TAG = "sweep.run"
GROUP_TAG = "sweep.group"
STUDY_TAG = "sweep.study"
TRIAL_TAG = "sweep.trial"
CONFIRMS_TAG = "sweep.confirms"
STATE_TAG = "sweep.state"
TRAINED_TAG = "sweep.trained_epochs"
REUSED_TAG = "sweep.reused_epochs"
RETRAINED_TAG = "sweep.retrained_epochs"
DIVERGED_EPOCH_TAG = "sweep.diverged_epoch"
DIVERGED_LR_TAG = "sweep.diverged_lr"
REASON_TAG = "sweep.reason"

OBJECTIVE_TAG = "sweep.objective"
SECOND_TAG = "sweep.second_objective"
DIRECTIONS_TAG = "sweep.directions"
COMPARE_TAG = "sweep.compare"
TRIALS_TAG = "sweep.trials"
TARGET_TAG = "sweep.target"
"""Tags of a study's parent run: its objective, second objective (if any), directions, compared
parameter (if any), target number of trials, and target value of the objective (if any)."""

CONFIG_FILE, ENVIRONMENT_FILE = "config.json", "environment.json"
"""Files of a run: its config, and everything else that determined its numbers."""

BEST_WEIGHTS, LAST_STATE = "checkpoints/best.pt", "checkpoints/last.pt"
"""Checkpoints of a run: the weights of its best epoch, and the state after its last."""

STUDY_FILE, PAGE_FILE = "study.json", "report.html"
"""Files of a study's parent run: its settings, and its report."""

EPOCH_REUSED = "system/reused"
EPOCH_WORKER = "system/worker"
EPOCH_ENDED_AT = "system/ended_at"
"""Per epoch: 1 if first trained for another run; process id of its worker; seconds since 1970.

MLflow's UI shows metrics with the prefix "system/" apart from model metrics."""
