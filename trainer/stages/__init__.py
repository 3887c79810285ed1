"""Stages: each epoch of a config, stored under the key of all that determines it."""
