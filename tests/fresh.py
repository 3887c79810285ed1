"""Runs functions in processes of their own, which nothing was done in before.

They are forked from a server that has imported modules at most, so they begin at once.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any


def begin(output: Path, function: Callable[..., object], *args: Any) -> BaseProcess:
    """Call a function of a module in a fresh process; what it prints goes into the file."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_call, args=(output, function, args))
    process.start()
    return process


def run_module(folder: Path, module: str, words: Sequence[str]) -> None:
    """Be `python -m MODULE WORDS`, started in the folder."""
    os.chdir(folder)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _call(output: Path, function: Callable[..., object], args: tuple[Any, ...]) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    function(*args)
