"""How a run is recorded, and delivered to MLflow."""
