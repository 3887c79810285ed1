"""A study and its trials in Optuna's storage, held by one process at a time."""
