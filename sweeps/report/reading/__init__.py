"""A study read back from MLflow, as frames: a row a trial, an epoch, or a repeat."""
