"""References to user code, `package.module:name`, and digests of that code."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, unknown


def is_reference(text: object) -> bool:
    """Whether the text has the form `package.module:name`."""
    if not isinstance(text, str):
        return False
    module, _, name = text.partition(":")
    return name.isidentifier() and all(word.isidentifier() for word in module.split("."))


def find(what: str, reference: str) -> Any:
    """Import the object that `reference` names; `what` is its role, for the error message.

    Raises:
        ConfigError: the reference is malformed, or its module cannot be imported or lacks the name.
    """
    if not is_reference(reference):
        raise ConfigError(f"{what} must be package.module:name, but got {reference!r}.")
    module_name, _, name = reference.partition(":")
    if module_name == "__main__":
        raise ConfigError(
            f"{what} must be in a module that workers can import, but got {reference!r}; "
            "name the file instead of __main__."
        )
    try:
        with restore_globals():
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


@contextmanager
def restore_globals() -> Iterator[None]:
    """Restore global state that user code may change.

    That is the working folder, and torch's default dtype, default device and gradient mode.
    """
    folder = Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)
        if torch := sys.modules.get("torch"):
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
            torch.set_grad_enabled(True)


def code_digest(reference: str, what: str = "code") -> str:
    """Digest of the code behind a reference, different for each version of it.

    For an installed distribution, its name and version. Otherwise the SHA-256 of every Python file
    of the module's top-level package and of the local packages that these import, and of the
    versions of the installed ones. It is cached until `unload_changed`, as imported code is. `what`
    is its role, for the error message.

    Raises:
        ConfigError: the module does not exist.
    """
    top = reference.partition(":")[0].partition(".")[0]
    if top not in _digests:
        if importlib.util.find_spec(top) is None:
            find(what, reference)
        _digests[top] = _digest(top)
    return _digests[top]


def unload_changed(references: Iterable[str]) -> None:
    """Unload user modules whose files have changed, so that the next import reads them again.

    Call this before work begins: a long process, such as a notebook, may have imported old code.
    """
    for top in {reference.partition(":")[0].partition(".")[0] for reference in references}:
        followed = _follow(top)
        if top in _digests:
            is_stale = _digest(top) != _digests.pop(top)
        else:
            files = (path for files in followed.values() for path in files.values())
            is_stale = any(path.stat().st_mtime > _STARTED_AT for path in files)
        if is_stale:
            tops = {name for name, files in followed.items() if files}
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]
            importlib.invalidate_caches()


def local_code(references: Iterable[str]) -> list[Path]:
    """Folders and files of `trainer`, `sweeps` and all local packages that references lead to.

    With these a machine that has the installed packages can import what the references name; a
    text that is no reference leads nowhere.
    """
    tops = {it.partition(":")[0].partition(".")[0] for it in references if is_reference(it)}
    names = {name for top in tops for name, files in _follow(top).items() if files}
    return [root for name in sorted(names.union(_OURS)) for root in _roots(name) or ()]


_STARTED_AT = time.time()
_digests: dict[str, str] = {}
_OURS = ("sweeps", "trainer")  # not digested: NUMERICS in trainer.stages.plan is their version


def _digest(top: str) -> str:
    if top in sys.stdlib_module_names:
        return f"python=={sys.version}"
    followed = _follow(top)
    if not followed.get(top):
        return _version(top)
    total = hashlib.sha256()
    for name, files in sorted(followed.items()):
        if not files:
            total.update(f"{_version(name)}\0".encode())
        for where, path in files.items():
            total.update(f"{name}\0{where}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def _follow(top: str) -> dict[str, dict[str, Path]]:
    """Python files of a package and of each package it imports; no files for installed ones."""
    followed: dict[str, dict[str, Path]] = {}
    waiting = [top]
    while waiting:
        name = waiting.pop()
        if name in followed or name in sys.stdlib_module_names or name in _OURS:
            continue
        files = _local_files(name)
        if files is None:
            continue
        followed[name] = files
        waiting += [it for path in files.values() for it in _imports(path)]
    return followed


def _local_files(top: str) -> dict[str, Path] | None:
    """Python files of a package by relative path, sorted.

    Empty for an installed package; None if the package does not exist.
    """
    roots = _roots(top)
    if roots is None:
        return None
    if any(_INSTALLED & set(path.parts) for path in roots):
        return {}
    files: dict[str, Path] = {}
    for root in reversed(roots):  # in a namespace package, the first folder with a module wins
        inside = {str(path.relative_to(root)): path for path in root.rglob("*.py")}
        inside = inside if root.is_dir() else {root.name: root}
        files |= {name: path for name, path in inside.items() if path.is_file()}  # no lock links
    return dict(sorted(files.items()))


def _roots(top: str) -> list[Path] | None:
    """The folders of a package, or the file of a module; None if it does not exist."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module created at run time, without a spec
        spec = None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    return folders or ([Path(spec.origin)] if spec.origin else [])


_INSTALLED = {"site-packages", "dist-packages"}


def _imports(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, also inside functions."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # importing the file reports it
        return set()
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {item.name.partition(".")[0] for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


_distributions = cache(importlib.metadata.packages_distributions)


def _version(top: str) -> str:
    """Names and versions of the distributions that contain an installed package."""
    names = sorted(set(_distributions().get(top, [top])))
    with suppress(importlib.metadata.PackageNotFoundError):
        return ",".join(f"{name}=={importlib.metadata.version(name)}" for name in names)
    return top
