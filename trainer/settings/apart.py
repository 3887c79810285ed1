"""`apart`: calls that run user code, in a separate process where the caller keeps one for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from trainer.errors import CodeFailed
from trainer.settings.references import is_reference

T = TypeVar("T")

_MOST_FAILURES = 2


class Caller(Protocol):
    """Calls functions in another process."""

    def __call__(
        self, code: tuple[str, ...], fn: Callable[..., T], *args: Any, limited: bool = True
    ) -> T:
        """The result of `fn(*args)`.

        Args:
            code: references to the user code that it runs.
            fn: a function of a module, which the process imports.
            args: its arguments, which are pickled.
            limited: whether it has a time limit.

        Raises:
            CodeFailed: the code ended its process, or took too long.
            TrainerError: what `fn` raised.
        """


def apart(names: Iterable[object], fn: Callable[..., T], *args: Any, limited: bool = True) -> T:
    """Call `fn(*args)`: in the separate process if one of `names` refers to user code.

    In that process itself, and where there is none, it is called directly. `names` are the settings
    whose code it runs; for the rest see `Caller`.
    """
    code = tuple(str(name) for name in names if is_reference(name))
    if _caller is None or not code:
        return fn(*args)
    if _briefly and _failures[code] >= _MOST_FAILURES:
        raise CodeFailed(f"{' and '.join(code)} failed {_MOST_FAILURES} times.")
    try:
        return _caller(code, fn, *args, limited=limited)
    except CodeFailed:
        _failures[code] += 1
        raise


@contextmanager
def users_apart(caller: Caller) -> Iterator[None]:
    """In the block `apart` runs user code by `caller`."""
    global _caller
    before, _caller = _caller, caller
    try:
        yield
    finally:
        _caller = before
        _failures.clear()


@contextmanager
def tried_briefly() -> Iterator[None]:
    """In the block code that failed twice counts as failing, whatever its arguments.

    That is for what no trial depends on: each failure may take a time limit.
    """
    global _briefly
    before, _briefly = _briefly, True
    try:
        yield
    finally:
        _briefly = before


_caller: Caller | None = None
_briefly = False
_failures: Counter[tuple[str, ...]] = Counter()
