"""Tags that users give the runs of a study in MLflow: how they are written and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import ConfigError

_OURS = ("sweep.", "mlflow.", "git.")
_NAME = re.compile(r"[\w.\-: ]{1,250}(/[\w.\-: ]+)*", re.ASCII)  # as MLflow takes them
_LONGEST = 8000


def parse_tags(words: Sequence[str]) -> dict[str, str]:
    """Parse KEY=VALUE words; values are texts.

    Raises:
        ConfigError: a word without "=".
    """
    for word in words:
        if "=" not in word:
            raise ConfigError(f"--tag must be KEY=VALUE, but got {word!r}.")
    return {key.strip(): text for key, _, text in (word.partition("=") for word in words)}


def tags(name: str, got: Any) -> dict[str, str]:
    """Check for tags that MLflow takes and that are not set by the sweep; values become texts."""
    assert isinstance(got, Mapping), "checked before"
    for key, value in got.items():
        if not isinstance(key, str) or not _NAME.fullmatch(key) or len(key) > 250:
            raise ConfigError(
                f"The key of a tag must be 1 to 250 letters, digits, '_', '-', '.', ':', '/' or "
                f"spaces, but got {key!r}."
            )
        if key.startswith(_OURS):
            raise ConfigError(
                f"The key of a tag must not begin with {', '.join(_OURS[:-1])} or {_OURS[-1]}, "
                f"which the sweep and MLflow set, but got {key!r}."
            )
        if not isinstance(value, (str, int, float)) or len(str(value)) > _LONGEST:
            raise ConfigError(
                f"The value of tag {key} must be a text of at most {_LONGEST:,} characters, but "
                f"got {str(value)[:80]!r}."
            )
    return {key: str(value) for key, value in got.items()}
