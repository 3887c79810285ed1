"""`SweepConfig`, and its validation as a whole."""
