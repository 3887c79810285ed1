"""What a study found: read back from MLflow, compared, and shown to people and programs."""
