"""Whole runs: trained, reproduced from what was logged, served as a model."""
