"""The figures of a study: our own, and Optuna's."""
