"""What a disk may do to a file: one bit flips, or its end is missing."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

# the same examples each time, and no file of those that failed
settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")


def damages() -> st.SearchStrategy[Damage]:
    """One bit of the file flips, or the file is cut off, anywhere."""
    place = st.integers(0, 2**32 - 1)
    return st.one_of(st.builds(_Flipped, place, st.integers(0, 7)), st.builds(_Cut, place))


class _Flipped:
    """Flips one bit of one byte; counts around where the file is shorter."""

    def __init__(self, place: int, bit: int) -> None:
        self._place, self._bit = place, bit

    def __call__(self, blob: bytes) -> bytes:
        at = self._place % len(blob)
        return blob[:at] + bytes([blob[at] ^ 1 << self._bit]) + blob[at + 1 :]

    def __repr__(self) -> str:
        return f"bit {self._bit} of byte {self._place}"


class _Cut:
    """Leaves the beginning of the file; counts around where it is shorter."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __call__(self, blob: bytes) -> bytes:
        return blob[: self._place % len(blob)]

    def __repr__(self) -> str:
        return f"cut at {self._place}"
