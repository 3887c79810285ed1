"""Networks of users that harm their process: where they are made, or in an epoch."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from brought import tiny
from torch import Tensor, nn

from trainer.errors import ConfigError


class Unpicklable(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__("it cannot be made again")
        self.lock = threading.Lock()


def raises() -> None:
    """Raise what cannot leave a process."""
    raise Unpicklable(1, 2)


def exits() -> None:
    """End the process as if all were well."""
    os._exit(0)


def segfaults() -> None:
    """Read where there is no memory."""
    ctypes.string_at(0)


def is_killed() -> None:
    """End as a process that allocates until the kernel kills it."""
    os.kill(os.getpid(), signal.SIGKILL)


def blocks() -> None:
    """Wait for ever."""
    threading.Event().wait()


def prints() -> None:
    """Print 1 GB."""
    chunk = "x" * 999_999 + "\n"
    for _ in range(1000):
        os.write(1, chunk.encode())
    raise ValueError("printed")


def changes() -> None:
    """Change what is global in a process."""
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.manual_seed(7)
    torch.set_num_threads(2)
    os.chdir("/")
    raise ValueError("changed")


def forks() -> None:
    """Go on in two processes, one of which stays."""
    if os.fork():
        raise ValueError("forked")


def leaves_threads() -> None:
    """Leave threads that never end."""
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(1e6,)).start()
    raise ValueError("threads")


FAULTS: tuple[Callable[[], None], ...] = (
    raises,
    exits,
    segfaults,
    is_killed,
    blocks,
    prints,
    changes,
    forks,
    leaves_threads,
)
BY_NAME = {fault.__name__: fault for fault in FAULTS}


class InEpoch(nn.Module):
    """A network that does it when it trains."""

    def __init__(self, num_classes: int, in_channels: int, fault: str) -> None:
        super().__init__()
        self.inner = tiny(num_classes, in_channels)
        self.fault = fault

    def forward(self, images: Tensor) -> Tensor:
        """Its scores, if it comes to that."""
        BY_NAME[self.fault]()
        return self.inner(images)


def net(num_classes: int, in_channels: int, fault: str, where: str) -> nn.Module:
    """A network with a fault "made" or "trained"."""
    if where == "made":
        BY_NAME[fault]()
    return InEpoch(num_classes, in_channels, fault)


def refuse() -> None:
    """Raise an error of ours."""
    raise ConfigError("not this")


def die_once(mark: Path) -> int:
    """Die as by kill -9 the first time; then this process."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def count(mark: Path) -> None:
    """Count the processes that die of this."""
    with mark.open("a") as file:
        file.write("x")
    os._exit(0)


def wait(mark: Path) -> None:
    """Wait for ever, in a process that says who it is."""
    mark.write_text(str(os.getpid()))
    blocks()
