"""The figures of a study, ours and those of Optuna's own."""
