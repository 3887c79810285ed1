"""Interrupts: Ctrl-C and SIGTERM take effect where no lock is held and nothing is half written.

Python runs a signal's handler between any two bytecodes of the main thread, so also right after a
lock was acquired and before anything would release it; cleanup code that needs the lock would then
wait for ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_handlers: dict[int, Any] = {}  # the previous handlers, while interrupts are held
_come: list[int] = []  # signals that came since
_allowed = False


@contextmanager
def held() -> Iterator[None]:
    """In the block a first signal waits for `allowed`, `check` or the end; a second acts at once.

    Signals whose handler is not Python's stay as they are. Only the main thread receives any.
    """
    if _handlers or threading.current_thread() is not threading.main_thread():
        yield
        return
    _come.clear()
    _handlers.update(
        {it: signal.getsignal(it) for it in _SIGNALS if callable(signal.getsignal(it))}
    )
    for signum in _handlers:
        signal.signal(signum, _hold)
    try:
        yield
        check()
    finally:
        for signum, handler in _handlers.items():
            signal.signal(signum, handler)
        _handlers.clear()


@contextmanager
def allowed() -> Iterator[None]:
    """In the block a signal acts at once: for what takes long and leaves nothing half written."""
    global _allowed
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _allowed = _allowed, True
    try:
        check()
        yield
    finally:
        _allowed = before


def check() -> None:
    """Let a pending signal act now.

    Raises:
        KeyboardInterrupt: from its handler.
    """
    if _come and threading.current_thread() is threading.main_thread():
        signum = _come.pop()
        _handlers[signum](signum, None)


def _hold(signum: int, frame: FrameType | None) -> None:
    if _allowed or _come:
        _come.clear()
        _handlers[signum](signum, frame)
    else:
        _come.append(signum)
