"""The search space, which says what a trial may be."""

from sweeps.space.opening import open_space
from sweeps.space.space import SEARCHED, Space

__all__ = ["SEARCHED", "Space", "open_space"]
