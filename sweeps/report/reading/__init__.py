"""A study read from MLflow into frames: one row per trial, per epoch, and per repeat."""
