"""Registering the winner, or another trial, as a model: `python -m sweeps.promote`."""
