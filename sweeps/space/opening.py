"""Opening a search space by path or reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.space.space import Space
from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.references import is_reference


def open_space(text: str | Mapping[str, Any] = "", base: TrainConfig | None = None) -> Space:
    """Open a PATH.toml, `package.module:function`, or a dict of what such a file holds.

    "" is the default space for the built-in training. Texts of a dict are specs, as of `--set`.

    Args:
        text: the path, reference, or dict.
        base: the config shared by all trials; None: the default.

    Raises:
        ConfigError: the file or function does not exist, or is invalid.
    """
    base = base or TrainConfig()
    from sweeps.space.file import default_space, read_space, space_of
    from sweeps.space.function import FunctionSpace  # Optuna is slow to import

    if not text:
        if base.trainable:
            raise ConfigError(
                "With trainable space must be given: a PATH.toml or package.module:function with "
                f"names of the config of {base.trainable}."
            )
        return default_space(base.scheduler)
    if isinstance(text, Mapping):
        return space_of(text, base=base)
    if is_reference(text):
        return FunctionSpace(text)
    if text.endswith(".toml"):
        return read_space(text, base)
    raise ConfigError(f"space must be a PATH.toml or package.module:function, but got {text!r}.")
