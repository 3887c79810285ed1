"""Command-line flags, made of the settings of config classes; and how a command ends."""

from __future__ import annotations

import ast
import functools
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter
from types import FrameType
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import typer

from trainer.errors import ConfigError, TrainerError
from trainer.settings import Setting, settings_of

T = TypeVar("T")

Given = dict[str, Any]
"""The values that were given on the command line, by the names of a config's fields."""

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Argument of the optimizer (momentum=0.9), the scheduler (scheduler.T_max=10) or the "
        "model (model.width=64).",
        metavar="NAME=VALUE",
    ),
]


class Flags:
    """The flags of a config class, made of its settings.

    Args:
        config: a dataclass whose fields are declared by `trainer.settings.setting`.
        only: names of the fields that get a flag; none: all.
        but: names of fields that get none.
    """

    def __init__(
        self, config: type, *, only: Collection[str] = (), but: Collection[str] = ()
    ) -> None:
        hints = get_type_hints(config)
        self._settings = {
            item.name: (_flag_of(item.name, declared), declared, hints[item.name], item.default)
            for item, declared in settings_of(config)
            if declared.flag != "" and item.name not in but and (not only or item.name in only)
        }

    def parameters(self) -> list[Parameter]:
        """What typer makes options of; one that is not given is None."""
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=_option(*about))
            for name, about in self._settings.items()
        ]

    def given(self, values: Given) -> Given:
        """Take the values of these flags out of `values`, and parse those that were given.

        Raises:
            ConfigError: a text that cannot be parsed.
        """
        taken = {name: values.pop(name) for name in self._settings}
        return {name: self._parse(name, it) for name, it in taken.items() if it is not None}

    def _parse(self, name: str, value: Any) -> Any:
        flag, declared, kind, _ = self._settings[name]
        if declared.parse is not None:
            return declared.parse(value)
        if get_origin(kind) is Mapping:
            return parse_settings(value, flag)
        return tuple(value) if isinstance(value, list) else value


def takes(**configs: Flags | type) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorate a command: it has the flags of these config classes, in place of each argument.

    The argument is what was given of them, as `Given`.
    """
    flags = {name: it if isinstance(it, Flags) else Flags(it) for name, it in configs.items()}

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        own = inspect.signature(command, eval_str=True).parameters
        parameters = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, it in own.items()
            for parameter in (flags[name].parameters() if name in flags else [it])
        ]

        @functools.wraps(command)
        def wrapped(**values: Any) -> T:
            given = {name: it.given(values) for name, it in flags.items()}
            return command(**given, **values)

        vars(wrapped)["__signature__"] = inspect.Signature(parameters)
        return wrapped

    return decorate


def _flag_of(name: str, declared: Setting) -> str:
    return declared.flag or f"--{name.replace('_', '-')}"


def _option(flag: str, declared: Setting, kind: Any, default: Any) -> Any:
    """The annotation of which typer makes an option."""
    spelled, shown = flag, declared.shown
    if default is True:
        spelled, shown = f"{flag}/--no-{flag[2:]}", flag[2:]
    elif default is False:
        shown = ""
    several = get_origin(kind) in (Mapping, tuple)
    if several:
        kind = list[str]
    elif declared.parse is not None:
        kind = str
    if shown is None and not several and default not in (None, ""):
        shown = str(default)
    option = typer.Option(
        spelled,
        help=declared.help,
        metavar="NAME=VALUE" if several and declared.metavar is None else declared.metavar,
        show_default=shown or False,
    )
    return Annotated[kind | None, option]


def parse_settings(words: Sequence[str], flag: str = "--set") -> dict[str, Any]:
    """Read NAME=VALUE words, with values as Python writes them; what is none stays text.

    Raises:
        ConfigError: a word without "=".
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{flag} must be NAME=VALUE, but got {word!r}.")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        settings[name.strip()] = list(value) if isinstance(value, tuple) else value
    return settings


def run(app: typer.Typer, argv: Sequence[str] | None) -> int:
    """Run a command; its exit status: 0 done, 1 a known error, 2 wrong usage, 130 interrupted.

    SIGTERM interrupts it as Ctrl-C does, so that it leaves as much whole.
    """
    try:
        with _sigterm_interrupts():
            status = app(args=argv, standalone_mode=False)
    except typer.TyperException as error:  # wrong usage
        error.show()  # type: ignore[attr-defined] # typer does not type what it inherits
        return error.exit_code
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    return int(status or 0)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Within, SIGTERM is an interrupt; only the main thread gets any, or may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
