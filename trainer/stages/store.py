"""The stage store: results by key, kept for good, and states by key, under a size budget."""

from __future__ import annotations

import json
import os
import pickle
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import fsspec

from trainer.errors import StoreError
from trainer.files import atomic_write
from trainer.killpoints import passing
from trainer.metrics import EpochResult
from trainer.stages.claims import claimed, leased
from trainer.stages.sealed import content_of, sealed, sealed_state, unpacked, unsealed

BUDGET = 2_000_000_000
"""Bytes that states may take before the oldest unused are evicted."""

_STALE_SECONDS = 3600.0  # a temporary file this old belongs to a process that died
_KEPT_SECONDS = 86400.0  # what a process said to keep is kept for so long without its evicting


class DamagedState(StoreError):
    """A stored state whose checksum is wrong; it was removed, so it is now merely missing."""


class StageStore:
    """A directory or an fsspec URL that processes may share.

    It has folders `results`, `states`, `kept` (what processes still need), and `claims`: in a
    directory a file of locks, else a lease for each epoch that is being trained.

    Whatever is found under its name is whole: files are written under a temporary name and renamed
    (object stores write whole objects by themselves), and each carries a checksum.

    Args:
        url: a path, or a URL that fsspec knows.
        budget: bytes that states may take; results are never evicted.

    Raises:
        StoreError: fsspec does not know such a URL, or lacks a package for it.
    """

    def __init__(self, url: str | Path, budget: int = BUDGET) -> None:
        self.url = str(url)
        self.budget = budget
        try:
            # without a cache of listings, which would hide what other processes put there since
            self._fs, self._root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StoreError(f"{self.url} cannot be a stage store: {error}.") from error
        self._local = "file" in self._fs.protocol
        self._kept_path = f"{self._root}/kept/{uuid.uuid4().hex}.json"
        self._is_signed = False

    def result(self, key: str) -> EpochResult | None:
        """The result under `key`, or None where there is none (a damaged one counts as none)."""
        blob = self._read(self._result_path(key))
        try:
            return None if blob is None else unsealed(blob)
        except ValueError:
            return None

    def put_result(self, key: str, result: EpochResult) -> None:
        """Keep `result` for good."""
        self._write(self._result_path(key), sealed(result))

    def has_state(self, key: str) -> bool:
        """Whether there is a state under `key`."""
        return self._exists(self._state_path(key))

    def state(self, key: str) -> dict[str, Any] | None:
        """The state under `key` (on the CPU), or None where there is none.

        Raises:
            DamagedState: what lay there was not what was once written, or holds other things than
                tensors, numbers and texts, of which torch might run some as code.
        """
        path = self._state_path(key)
        blob = self._read(path)
        if blob is None:
            return None
        try:
            state = unpacked(content_of(blob))
        except pickle.UnpicklingError as error:
            self._remove(path)
            raise DamagedState(
                f"The stored state {path} was damaged and is trained again."
            ) from error
        if self._local:
            with suppress(OSError):  # another process may have evicted it meanwhile
                os.utime(path)  # eviction takes the oldest unused first
        return state

    def put_state(self, key: str, state: dict[str, Any]) -> None:
        """Keep `state` until the budget needs its room."""
        self._write(self._state_path(key), sealed_state(state))

    @contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """In the block no other process trains what has this key; it is waited for.

        Where the store is a URL, a process that was killed is waited for until its lease is stale.

        Raises:
            StoreError: the store cannot be read or written.
        """
        with ExitStack() as stack:
            if self._local:
                with self._in_one_line("written"):
                    stack.enter_context(claimed(Path(self._root, "claims"), key))
            else:
                path = f"{self._root}/claims/{key}"
                read, write = partial(self._read, path), partial(self._write, path)
                stack.enter_context(leased(read, write, partial(self._remove, path)))
            yield

    def keep(self, keys: Collection[str]) -> None:
        """Say which states this process still needs: for a day none of them is evicted."""
        if keys or self._is_signed:
            self._write(self._kept_path, json.dumps(sorted(keys)).encode())
            passing("states-kept")
        else:
            self.release()

    def evict(self, keep: Collection[str]) -> int:
        """Remove the states unused for longest until they fit the budget, but none of `keep`.

        Nor any that another process keeps. All states are listed, about 10 microseconds each on a
        disk.

        Returns:
            How many states were removed.
        """
        self.keep(keep)
        keep = {*keep, *self._all_kept()}
        aged = sorted(self._files("states"))
        total = sum(size for _, _, size in aged)
        removed = 0
        for modified, path, size in aged:
            name = path.rsplit("/", 1)[-1]
            if name.endswith(".tmp"):
                if time.time() - modified > _STALE_SECONDS:
                    self._remove(path)
                    total -= size
            elif total > self.budget and _key(path) not in keep:
                self._remove(path)
                total -= size
                removed += 1
        return removed

    def prune(self, seconds: float) -> tuple[int, int]:
        """Remove states that were not used for so long, but none that a process needs.

        Returns:
            How many states were removed, and their bytes.
        """
        kept, removed = {*self._all_kept()}, []
        for used, path, size in self._files("states"):
            if time.time() - used > seconds and _key(path) not in kept:
                self._remove(path)
                removed.append(size)
        return len(removed), sum(removed)

    def states(self) -> list[tuple[float, int]]:
        """When each state was last used, in seconds since 1970, and its bytes."""
        return [(used, size) for used, _, size in self._files("states")]

    def remove_damaged(self) -> None:
        """Remove results and states that are not what was written; they are trained again."""
        for path in [*self.damaged()]:
            self._remove(path)

    def damaged(self) -> Iterator[str]:
        """Paths of results and states that are not what was written; all of them are read."""
        with self._in_one_line("read"):
            results = [it for it in self._fs.find(f"{self._root}/results") if it.endswith(".json")]
        states = [path for _, path, _ in self._files("states") if path.endswith(".pt")]
        for path, check in (*zip(results, repeat(unsealed)), *zip(states, repeat(content_of))):
            try:
                check(self._read(path) or b"")
            except (ValueError, pickle.UnpicklingError):
                yield path

    def sign(self) -> None:
        """Keep a file in the store from now on, by which a copy of this object finds it."""
        self._is_signed = True
        self._write(self._kept_path, b"[]")

    def is_same(self) -> bool:
        """Whether this copy, on another machine, sees the store that was signed."""
        return self._exists(self._kept_path)

    def release(self) -> None:
        """Let other processes evict what this one needed until now."""
        self._remove(self._kept_path)

    def _all_kept(self) -> Iterator[str]:
        """What any process said to keep."""
        for modified, path, _ in self._files("kept"):
            if time.time() - modified > _KEPT_SECONDS:
                self._remove(path)
            elif path.endswith(".json"):
                with suppress(ValueError):  # half of one, where the store is not a folder
                    yield from json.loads(self._read(path) or "[]")

    def _files(self, folder: str) -> list[tuple[float, str, int]]:
        """When each file of a folder was last written or used, its path, and its bytes."""
        with self._in_one_line("read"), suppress(FileNotFoundError):
            entries = self._fs.ls(f"{self._root}/{folder}", detail=True, refresh=True)
            return [(_modified(entry), entry["name"], int(entry["size"])) for entry in entries]
        return []

    def _result_path(self, key: str) -> str:
        return f"{self._root}/results/{key[:2]}/{key}.json"

    def _state_path(self, key: str) -> str:
        return f"{self._root}/states/{key}.pt"

    def _exists(self, path: str) -> bool:
        with self._in_one_line("read"):
            return bool(self._fs.exists(path))

    def _read(self, path: str) -> bytes | None:
        with self._in_one_line("read"), suppress(FileNotFoundError):
            return bytes(self._fs.cat_file(path))
        return None

    def _write(self, path: str, blob: bytes) -> None:
        with self._in_one_line("written"):
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            if not self._local:
                self._fs.pipe_file(path, blob)
                return
            with atomic_write(Path(path)) as file:
                file.write(blob)

    def _remove(self, path: str) -> None:
        with self._in_one_line("written"), suppress(FileNotFoundError):
            self._fs.rm_file(path)

    @contextmanager
    def _in_one_line(self, done: str) -> Iterator[None]:
        """Turn what a file system raises into an error for people."""
        try:
            yield
        except Exception as error:  # a client of S3, say, has errors of its own
            if self._local and not isinstance(error, OSError):
                raise
            raise StoreError(f"The stage store {self.url} cannot be {done}: {error}.") from error


def _key(path: str) -> str:
    """The key of the state in a file."""
    return path.rsplit("/", 1)[-1].removesuffix(".pt")


def _modified(entry: dict[str, Any]) -> float:
    """When a listed file was last written or used, seconds since 1970; 0 where nobody says."""
    stamp = entry.get("mtime") or entry.get("created") or entry.get("LastModified") or 0.0
    return float(stamp.timestamp() if hasattr(stamp, "timestamp") else stamp)
