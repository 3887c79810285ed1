"""From what a user gives to a search space."""

from __future__ import annotations

from sweeps.space.space import Space
from trainer.errors import ConfigError
from trainer.settings.references import is_reference


def open_space(text: str = "", scheduler: str = "StepLR") -> Space:
    """The space that `text` names: a PATH.toml, `package.module:function`, or "", the default.

    The default one is for a schedule: what other schedules do not have is not searched.

    Raises:
        ConfigError: there is no such file or function, or what it says cannot be.
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
