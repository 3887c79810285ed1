"""Advice on what to try next, each with its evidence."""
