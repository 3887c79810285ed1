"""Command-line flags generated from config classes, and exit statuses of commands."""

from __future__ import annotations

import ast
import functools
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from inspect import Parameter
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import typer

from trainer.errors import ConfigError, TrainerError, printable, shortened
from trainer.settings.fields import Setting, settings_of

T = TypeVar("T")

Given = dict[str, Any]
"""Values given explicitly on the command line, by field name."""

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Argument of the optimizer (momentum=0.9), the scheduler (scheduler.T_max=10), the "
        "model (model.width=64), the loss (loss.label_smoothing=0.1) or a metric "
        "(metric.f1.average=macro).",
        metavar="NAME=VALUE",
    ),
]


class Flags:
    """Command-line flags of a config class; inherited fields come last.

    Args:
        config: a dataclass whose fields are declared by `trainer.settings.fields.setting`.
        only: fields to include; empty: all.
        but: fields to leave out.
    """

    def __init__(
        self, config: type, *, only: Collection[str] = (), but: Collection[str] = ()
    ) -> None:
        kinds, own = get_type_hints(config), inspect.get_annotations(config)
        self._flags = {
            item.name: _Flag(item.name, kinds[item.name], item.default, declared)
            for item, declared in sorted(settings_of(config), key=lambda it: it[0].name not in own)
            if declared.flag != "" and item.name not in but and (not only or item.name in only)
        }

    def parameters(self) -> list[Parameter]:
        """Parameters that typer turns into options; a flag that is not given is None."""
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=flag.option())
            for name, flag in self._flags.items()
        ]

    def given(self, values: Given) -> Given:
        """Remove the values of these flags from `values`; return those given, parsed.

        Raises:
            ConfigError: a text that cannot be parsed.
        """
        taken = {name: values.pop(name) for name in self._flags}
        return {name: self._flags[name].parse(it) for name, it in taken.items() if it is not None}

    def words(self, name: str, value: Any) -> list[str]:
        """Command-line words that set a field to this value; empty if it has no flag."""
        return self._flags[name].words(value) if name in self._flags else []


def takes(command: Callable[..., T]) -> Callable[..., T]:
    """Decorate a command: replace each config argument by the flags of its class.

    An argument annotated with a config class, or with `Annotated[Config, Flags(...)]` for some of
    its fields, gets an instance. `Annotated[Given, Flags(...)]` gets only the values given
    explicitly.
    """
    own = inspect.signature(command, eval_str=True).parameters
    configs = {name: found for name, it in own.items() if (found := _config_of(it.annotation))}
    parameters = [
        parameter
        for name, it in own.items()
        for parameter in (
            configs[name][1].parameters()
            if name in configs
            else [it.replace(kind=Parameter.KEYWORD_ONLY)]
        )
    ]

    @functools.wraps(command)
    def wrapped(**values: Any) -> T:
        made = {name: make(**flags.given(values)) for name, (make, flags) in configs.items()}
        return command(**made, **values)

    vars(wrapped)["__signature__"] = inspect.Signature(parameters)
    return wrapped


def _config_of(annotation: Any) -> tuple[Callable[..., Any], Flags] | None:
    """Constructor and flags of a config argument; None for any other argument."""
    if is_dataclass(annotation) and isinstance(annotation, type):
        return annotation, Flags(annotation)
    flags = [it for it in getattr(annotation, "__metadata__", ()) if isinstance(it, Flags)]
    return (annotation.__origin__, flags[0]) if flags else None


@dataclass(frozen=True)
class _Flag:
    """The flag of a field.

    Attributes:
        name: of the field.
        kind: type of the field.
        default: of the field; `MISSING` if it has a factory.
        declared: the remaining metadata.
    """

    name: str
    kind: Any
    default: Any
    declared: Setting

    @property
    def spelling(self) -> str:
        """The flag as written on the command line."""
        return self.declared.flag or f"--{self.name.replace('_', '-')}"

    @property
    def is_repeated(self) -> bool:
        """Whether it may be given more than once."""
        return get_origin(self.kind) in (Mapping, tuple)

    def option(self) -> Any:
        """Annotation that typer turns into an option."""
        kind, metavar, spelling = self.kind, self.declared.metavar, self.spelling
        if self.is_repeated:
            kind, metavar = list[str], metavar or "NAME=VALUE"
        elif self.declared.parse is not None:
            kind = str
        if self.default is True:
            spelling = f"{spelling}/--no-{spelling[2:]}"
        return Annotated[
            kind | None,
            typer.Option(
                spelling, help=self.declared.help, metavar=metavar, show_default=self._shown()
            ),
        ]

    def parse(self, value: Any) -> Any:
        """Convert the value from typer to that of the field."""
        if self.declared.parse is not None:
            return self.declared.parse(value)
        if get_origin(self.kind) is Mapping:
            return parse_settings(value, self.spelling)
        return tuple(value) if isinstance(value, list) else value

    def words(self, value: Any) -> list[str]:
        """Command-line words for this value; of repeated flags, only for values by name."""
        if get_origin(self.kind) is Mapping:
            words = ((self.spelling, f"{name}={it}") for name, it in value.items())
            return [word for pair in words for word in pair]
        if self.kind is bool:
            return [self.spelling if value else f"--no-{self.spelling[2:]}"]
        return [self.spelling, str(value)]

    def _shown(self) -> str | bool:
        """Default as shown in `--help`; False if none is shown."""
        if self.declared.shown is not None:
            return self.declared.shown
        if self.default is True:
            return self.spelling[2:]
        is_empty = self.default is None or self.default is False or self.default == ""
        return False if is_empty or self.is_repeated else str(self.default)


def parse_settings(words: Sequence[str], flag: str = "--set") -> dict[str, Any]:
    """Parse NAME=VALUE words; values are Python literals, or else texts.

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


def run(app: typer.Typer, argv: Sequence[str] | None, program: str | None = None) -> int:
    """Run a command and return its status: 0 done, 1 expected error, 2 usage, 130 interrupted.

    SIGTERM is handled like Ctrl-C, so that the command shuts down cleanly.

    Args:
        app: the app with the command.
        argv: arguments; None: those of the process.
        program: name of the program in `--help`; None: that of the process.
    """
    try:
        with _sigterm_interrupts():
            status = app(args=argv, prog_name=program, standalone_mode=False)
    except typer.TyperException as error:  # wrong usage
        error.show()  # type: ignore[attr-defined] # typer does not type what it inherits
        return error.exit_code
    except TrainerError as error:
        lines = printable(str(error), keep="\n").splitlines()
        print("error:", "\n".join(map(shortened, lines)), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    return int(status or 0)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Handle SIGTERM as an interrupt; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
