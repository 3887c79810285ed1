"""The winner of a study as a registered model."""
