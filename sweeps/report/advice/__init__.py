"""Advice on the next sweep, with its evidence."""
