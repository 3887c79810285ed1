"""`sweeps COMMAND`, or `python -m sweeps COMMAND`: all commands under one name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from trainer.errors import unknown
from trainer.settings import flags

COMMANDS = {
    "run": ("sweeps.run", "run or resume a sweep"),
    "report": ("sweeps.report.__main__", "show the results of a study"),
    "confirm": ("sweeps.confirm", "train the best trials again from other seeds"),
    "promote": ("sweeps.promote.__main__", "register the weights of a trial as a model"),
    "doctor": ("sweeps.doctor.__main__", "show what does not fit, and mend it"),
    "space": ("sweeps.space.__main__", "show or check a search space"),
    "train": ("trainer.__main__", "train one run"),
}
"""Module and description of each command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument; return its exit status, 2 if it is unknown."""
    name, *rest = argv if argv is not None else sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print("Usage: sweeps COMMAND [OPTIONS]\n\nCommands:")
        for each, (_, description) in COMMANDS.items():
            print(f"  {each:<9}{description}")
        print("\nsweeps COMMAND --help lists the options of one.")
        return 0
    if name not in COMMANDS:
        print(f"error: {unknown('command', name, COMMANDS)}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[name]
    return flags.run(importlib.import_module(module).app, rest, f"sweeps {name}")


if __name__ == "__main__":
    sys.exit(main())
