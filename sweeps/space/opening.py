"""Opening a search space by path or reference."""

from __future__ import annotations

from sweeps.space.space import Space
from trainer.errors import ConfigError
from trainer.settings.references import is_reference


def open_space(text: str = "", scheduler: str = "StepLR") -> Space:
    """Open a PATH.toml or `package.module:function`; "" is the default space for a scheduler.

    Raises:
        ConfigError: the file or function does not exist, or is invalid.
    """
    from sweeps.space.file import default_space, read_space  # Optuna is slow to import
    from sweeps.space.function import FunctionSpace

    if not text:
        return default_space(scheduler)
    if is_reference(text):
        return FunctionSpace(text)
    if isinstance(text, str) and text.endswith(".toml"):
        return read_space(text)
    raise ConfigError(f"space must be a PATH.toml or package.module:function, but got {text!r}.")
