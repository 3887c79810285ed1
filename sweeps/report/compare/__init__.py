"""Comparisons of the trials of a study: ranking, repeats, importances, a parameter's values."""
