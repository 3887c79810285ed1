"""The device that tests of the training use."""

import os

DEVICE = os.environ.get("TEST_DEVICE", "cpu")
"""`cpu`, or `cuda` where the environment variable says so."""
