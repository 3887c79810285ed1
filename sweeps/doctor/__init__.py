"""What does not fit between studies, MLflow and stored files: `python -m sweeps.doctor`."""
