"""A study read from MLflow as DataFrames of trials, epochs and repeats."""
