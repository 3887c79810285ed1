"""Opening a search space by path or reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.space.space import Space
from trainer.errors import ConfigError
from trainer.settings.references import is_reference


def open_space(text: str | Mapping[str, Any] = "", scheduler: str = "StepLR") -> Space:
    """Open a PATH.toml, `package.module:function`, or a dict of what such a file holds.

    "" is the default space for a scheduler. Texts of a dict are specs, as of `--set`.

    Raises:
        ConfigError: the file or function does not exist, or is invalid.
    """
    from sweeps.space.file import default_space, read_space, space_of
    from sweeps.space.function import FunctionSpace  # Optuna is slow to import

    if not text:
        return default_space(scheduler)
    if isinstance(text, Mapping):
        return space_of(text)
    if is_reference(text):
        return FunctionSpace(text)
    if text.endswith(".toml"):
        return read_space(text)
    raise ConfigError(f"space must be a PATH.toml or package.module:function, but got {text!r}.")
