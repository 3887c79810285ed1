"""Reports: a study is read from MLflow, compared, and rendered."""
