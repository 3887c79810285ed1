"""What users bring by name: `package.module:name`, and a digest of the code behind it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, unknown


def is_reference(text: object) -> bool:
    """Whether the text has the form of `package.module:name`."""
    if not isinstance(text, str):
        return False
    module, _, name = text.partition(":")
    return name.isidentifier() and all(word.isidentifier() for word in module.split("."))


def find(what: str, reference: str) -> Any:
    """The object that `reference` names; `what` it is meant to be is for the error.

    Raises:
        ConfigError: it has another form, its module cannot be imported or has no such name.
    """
    if not is_reference(reference):
        raise ConfigError(f"{what} must be package.module:name, but got {reference!r}.")
    module_name, _, name = reference.partition(":")
    if module_name == "__main__":
        raise ConfigError(
            f"{what} must lie in a module that workers can import, but got {reference!r}; "
            "name the file instead of __main__."
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module can raise anything
        raise ConfigError(
            f"{what} {reference!r} must be importable from {Path.cwd()}, but: "
            f"{type(error).__name__}: {error}."
        ) from error
    if not hasattr(module, name):
        public = [item for item in vars(module) if not item.startswith("_")]
        raise ConfigError(unknown(f"name in {module_name}", name, public, most=20))
    return getattr(module, name)


@lru_cache
def code_digest(reference: str) -> str:
    """What tells the code behind a reference from an earlier state of it.

    Of an installed distribution its name and version, else SHA-256 over every Python file of the
    module's top-level package. What that package imports from elsewhere is not in it.
    """
    top = reference.partition(":")[0].partition(".")[0]
    module = importlib.import_module(top)
    file = Path(module.__file__) if module.__file__ else None
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    if file is not None and any(file.is_relative_to(folder) for folder in installed):
        for name in importlib.metadata.packages_distributions().get(top, []):
            return f"{name}=={importlib.metadata.version(name)}"
    if file is None and not hasattr(module, "__path__"):  # built into Python
        return f"python=={sys.version}"
    roots = [Path(folder) for folder in getattr(module, "__path__", [])]
    files = sorted(path for root in roots for path in root.rglob("*.py"))
    files = files or ([file] if file else [])
    total = hashlib.sha256()
    for path in files:
        root = next((root for root in roots if path.is_relative_to(root)), path.parent)
        total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()
