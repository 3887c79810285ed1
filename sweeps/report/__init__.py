"""Reports: a study is read back from MLflow, its trials are compared, and the result is shown."""
