"""Search spaces: which configurations a trial may have."""

from sweeps.space.opening import open_space
from sweeps.space.space import SEARCHED, Space

__all__ = ["SEARCHED", "Space", "open_space"]
