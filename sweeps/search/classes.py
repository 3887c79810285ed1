"""Samplers and pruners by class name: Optuna's, our own, or the user's.

Each class is looked up, its arguments are checked against its signature before anything starts, and
what its constructor raises becomes a ConfigError.
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
"""Argument types that are checked here; for others, the class itself has to check."""


@dataclass(frozen=True, kw_only=True)
class Classes(Generic[T]):
    """All samplers, or all pruners, by name.

    Attributes:
        kind: "sampler" or "pruner".
        base: Optuna's base class.
        optuna: Optuna's module with its classes.
        own: our classes by name; they replace Optuna's of the same name.
        defaults: by class name, arguments whose default differs from the class's own.
        supplied: arguments that the sweep passes to classes that take them; users cannot.
        nicknames: names used elsewhere; the error for such a name suggests the class.
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
        """Names of all classes of Optuna and our own, without base classes."""
        theirs = [
            name
            for name, item in vars(self.optuna).items()
            if inspect.isclass(item)
            and issubclass(item, self.base)
            and not name.startswith(("_", "Base"))
        ]
        return sorted({*theirs, *self.own})

    def find(self, name: str) -> Callable[..., T]:
        """Look up a class by name or by reference.

        Raises:
            ConfigError: the class does not exist, or has another base class.
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
        if getattr(self.optuna, found.__name__, None) is found:  # ours may replace it
            raise ConfigError(
                f"{self.kind} must be a plain name for a class of Optuna, but got {name!r}; use "
                f"{found.__name__}."
            )
        return found

    def maker(self, name: str, args: Mapping[str, Any]) -> Callable[..., T]:
        """Create a factory for a class with these arguments; calling it adds the supplied ones.

        If an argument is itself a sampler or pruner, it can be given by its class name.

        Args:
            name: name of the class.
            args: arguments of the class, without supplied ones.

        Raises:
            ConfigError: an unknown class or argument, or an invalid value; the factory raises it if
                the constructor fails.
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
            except Exception as error:  # a constructor can raise anything
                words = ", ".join(f"{key}={value!r}" for key, value in given.items())
                raise ConfigError(f"{name}({words}) cannot be created: {error}") from error

        return make

    def _check(
        self, name: str, args: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        """Raise ConfigError for unknown, missing or invalid arguments."""
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
            json.dumps(dict(args))  # they are stored with the study's settings as JSON
        except TypeError as error:
            raise ConfigError(f"Arguments of {name} must be plain values: {error}.") from error
        given = {**self.defaults.get(name, {}), **args}
        missing = [key for key, it in known.items() if it.default is it.empty and key not in given]
        if missing:
            flags = " ".join(f"--{self.kind}-arg {key}=VALUE" for key in missing)
            raise ConfigError(f"{name} must have {', '.join(missing)}; add {flags}")


def _annotation(parameter: inspect.Parameter | None) -> str:
    """The type annotation of an argument as text; "" if there is none."""
    if parameter is None or parameter.annotation is parameter.empty:
        return ""
    return inspect.formatannotation(parameter.annotation).strip("'")


def _fits(value: object, annotation: str) -> bool:
    """Whether the value has the annotated type; True for types that are not checked here."""
    types = {word.strip() for word in annotation.split("|")}
    if not types <= _PLAIN:
        return True
    names = {"None" if value is None else type(value).__name__}
    return bool(types & (names | {"float"} if names == {"int"} else names))
