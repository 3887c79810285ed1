"""One run of a sweep's command: the coordinator, its executors, delivery to MLflow, progress."""
