"""Comparison of a study's trials: the ranking, and how certain it is."""
