"""`SweepConfig`, and its check as a whole."""
