"""Samplers and pruners by the names of their classes: Optuna's, ours in place of some, or others'.

One way for all of them: the class is looked up, its arguments are checked against its signature
before anything starts, and what it refuses then is a line, not a traceback.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Generic, TypeVar

from optuna.exceptions import ExperimentalWarning

from trainer.errors import ConfigError, unknown
from trainer.settings.references import find, is_reference

T = TypeVar("T")

_PLAIN = {"bool", "int", "float", "str", "None"}
"""Types of arguments that can be told from a value; of others only the class itself knows."""


@dataclass(frozen=True, kw_only=True)
class Classes(Generic[T]):
    """The classes of one kind that have names.

    Attributes:
        kind: "sampler" or "pruner".
        base: what each is a subclass of.
        optuna: the module that has Optuna's.
        own: ours, which stand in for Optuna's of the same name, or are further ones.
        defaults: arguments by class, where ours differ from the class's own.
        supplied: arguments that the sweep gives to each class that takes them, and nobody else.
        nicknames: what some are known as elsewhere, so that an unknown name leads to them.
    """

    kind: str
    base: type[Any]
    optuna: ModuleType
    own: Mapping[str, Callable[..., T]]
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    supplied: tuple[str, ...] = ()
    nicknames: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All that need no reference; the base classes are none of them."""
        theirs = [
            name
            for name, item in vars(self.optuna).items()
            if inspect.isclass(item)
            and issubclass(item, self.base)
            and not name.startswith(("_", "Base"))
        ]
        return sorted({*theirs, *self.own})

    def find(self, name: str) -> Callable[..., T]:
        """The class of this name, or the one that a reference names.

        Raises:
            ConfigError: there is none, or it is of another kind.
        """
        if name in self.own:
            return self.own[name]
        if name in self.names:
            found: type[T] = getattr(self.optuna, name)
            return found
        if not is_reference(name):
            short = {it.removesuffix(self.kind.capitalize()): it for it in self.names}
            choices = (*self.names, "package.module:Class")
            raise ConfigError(unknown(self.kind, name, choices, also={**short, **self.nicknames}))
        found = find(self.kind, name)
        if not (inspect.isclass(found) and issubclass(found, self.base)):
            raise ConfigError(
                f"{self.kind} must be a subclass of Optuna's {self.base.__name__}, but {name} is "
                f"{found!r}."
            )
        if getattr(self.optuna, found.__name__, None) is found:  # ours may stand in for it
            raise ConfigError(f"{name} must be named {found.__name__}, as others of Optuna's are.")
        return found

    def maker(self, name: str, args: Mapping[str, Any]) -> Callable[..., T]:
        """What makes objects of a class, with the same arguments and whatever it is supplied with.

        Where the class takes another one of its kind, that can be given by its name, too.

        Args:
            name: of the class.
            args: its arguments, beside those that are supplied.

        Raises:
            ConfigError: no such class or argument, or a value that cannot be; what it makes raises
                it too, where the class refuses its arguments.
        """
        found = self.find(name)
        parameters = inspect.signature(found).parameters
        self._check(name, args, parameters)
        given = {**self.defaults.get(name, {}), **args}
        inner = {
            key: self.maker(value, {})
            for key, value in given.items()
            if isinstance(value, str) and self.base.__name__ in _annotation(parameters.get(key))
        }

        def make(**supplied: Any) -> T:
            taken = {key: value for key, value in supplied.items() if key in parameters}
            made = {key: maker(**supplied) for key, maker in inner.items()}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExperimentalWarning)
                    return found(**given | made | taken)
            except Exception as error:  # a class can refuse its arguments with anything
                words = ", ".join(f"{key}={value!r}" for key, value in given.items())
                raise ConfigError(f"{name}({words}) cannot be made: {error}") from error

        return make

    def _check(
        self, name: str, args: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        """Refuse arguments that the class does not take, and the lack of those that it needs."""
        kinds = {it.kind for it in parameters.values()}
        known = {
            key: it
            for key, it in parameters.items()
            if key not in self.supplied and it.kind not in (it.VAR_POSITIONAL, it.VAR_KEYWORD)
        }
        for key, value in args.items():
            if key in self.supplied and key in parameters:
                raise ConfigError(f"{key} of {name} is set by the sweep, but got {value!r}.")
            if key not in known and inspect.Parameter.VAR_KEYWORD not in kinds:
                if not known:
                    raise ConfigError(f"{name} takes no arguments here, but got {key!r}.")
                raise ConfigError(unknown(f"argument of {name}", key, known))
            allowed = _annotation(known.get(key))
            if not _fits(value, allowed):
                raise ConfigError(f"{key} of {name} must be {allowed}, but got {value!r}.")
        try:
            json.dumps(dict(args))  # a study's settings have them as JSON
        except TypeError as error:
            raise ConfigError(f"{name} must be given plain values: {error}.") from error
        given = {**self.defaults.get(name, {}), **args}
        missing = [key for key, it in known.items() if it.default is it.empty and key not in given]
        if missing:
            flags = " ".join(f"--{self.kind}-arg {key}=VALUE" for key in missing)
            raise ConfigError(f"{name} must be given {', '.join(missing)}: {flags}")


def _annotation(parameter: inspect.Parameter | None) -> str:
    """The type of an argument as its class writes it; "" where it says none."""
    if parameter is None or parameter.annotation is parameter.empty:
        return ""
    return inspect.formatannotation(parameter.annotation).strip("'")


def _fits(value: object, annotation: str) -> bool:
    """Whether the value is of that type; True where that cannot be told."""
    types = {word.strip() for word in annotation.split("|")}
    if not types <= _PLAIN:
        return True
    names = {"None" if value is None else type(value).__name__}
    return bool(types & (names | {"float"} if names == {"int"} else names))
