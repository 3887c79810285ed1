"""Names under which a run's facts are found again in MLflow: its tags, and metrics of no number."""

from __future__ import annotations

RUN_TAG = "sweep.run"
GROUP_TAG = "sweep.group"
STUDY_TAG = "sweep.study"
TRIAL_TAG = "sweep.trial"
CONFIRMS_TAG = "sweep.confirms"
STATE_TAG = "sweep.state"
TRAINED_TAG = "sweep.trained_epochs"
REUSED_TAG = "sweep.reused_epochs"
DIVERGED_EPOCH_TAG = "sweep.diverged_epoch"
DIVERGED_LR_TAG = "sweep.diverged_lr"
REASON_TAG = "sweep.reason"

EPOCH_REUSED = "system/reused"
EPOCH_WORKER = "system/worker"
EPOCH_ENDED_AT = "system/ended_at"
"""Per epoch: 1 if first trained for another run; process id of its worker; seconds since 1970.

MLflow's pages show what begins with "system/" apart from a model's metrics."""
