"""Writes commands.md, the reference of every command and flag, from the programs themselves.

    python docs/make_commands.py

Run it after a change of a command's options; `tests/test_docs.py` fails until then.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main

PAGE = Path(__file__).with_name("commands.md")

COMMANDS = {
    "sweeps.run": "Background: [search.md](search.md), [spaces.md](spaces.md), [data.md](data.md), "
    "[extending.md](extending.md), [recovery.md](recovery.md).",
    "trainer": "Background: [data.md](data.md), [extending.md](extending.md); `--verify`: "
    "[recovery.md](recovery.md#repeating-a-run-to-the-bit).",
    "sweeps.report": "Background: [results.md](results.md).",
    "sweeps.confirm": "Background: [search.md](search.md#confirming-the-best-trials).",
    "sweeps.promote": "Background: [results.md](results.md#the-champion).",
    "sweeps.doctor": "Background: [recovery.md](recovery.md#the-doctor).",
    "sweeps.space": "Background: [spaces.md](spaces.md).",
}
"""Each command, and where to read on."""

HEAD = """\
# Commands

<!-- Written by docs/make_commands.py from the programs; do not edit. -->

Every flag of every command, with the help that `--help` prints.

Exit status of each command: 0 done, 1 an expected error (one line on stderr), 2 wrong usage,
130 interrupted (Ctrl-C or SIGTERM).
"""


def text() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name, more) for name, more in COMMANDS.items())])


def section(name: str, more: str) -> str:
    """One command: what it does, and a table of its arguments and flags."""
    package = import_module(name)
    module = import_module(f"{name}.__main__") if hasattr(package, "__path__") else package
    command: Any = typer.main.get_command(module.app)
    context = command.make_context(name, [], resilient_parsing=True)
    rows = [row(parameter, context) for parameter in command.params if parameter.name != "help"]
    return "\n".join(
        [
            f"## `python -m {name}`",
            "",
            " ".join(inspect.cleandoc(command.help).split()),
            more,
            "",
            "| flag | default | |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def row(parameter: Any, context: Any) -> str:
    """One line of the table: the flag with the form of its value, the default, the help."""
    form = parameter.get_help_record(context)[0]  # "-o, --out FILE", or "[SPACE] <str>"
    if parameter.opts[0].startswith("-"):
        is_switch = parameter.is_flag
        names = [*parameter.opts, *parameter.secondary_opts]
        shown = ", ".join(f"`{name}`" for name in names)
        shown += "" if is_switch else f" {form.rpartition(' ')[2]}"
    else:
        shown = f"`{form.partition(' ')[0]}`"
    said = parameter.show_default
    default = said if isinstance(said, str) else parameter.default
    default = "" if default in (None, False, "") else f"`{default}`"
    repeated = " May be repeated." if getattr(parameter, "multiple", False) else ""
    return "| " + " | ".join(map(_escaped, (shown, default, parameter.help + repeated))) + " |"


def _escaped(cell: str) -> str:
    """A cell as Markdown shows it as it is."""
    return cell.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
