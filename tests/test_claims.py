"""Epochs that several processes need at once are trained by one of them."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fresh import begin

from trainer.settings.config import TrainConfig
from trainer.stages.claims import claimed, leased
from trainer.stages.stage import train_stage, worker_name
from trainer.stages.store import StageStore

Small = Callable[..., TrainConfig]
KEY = "0f" * 32


def train_beside(config: TrainConfig, store: StageStore, ready: Path, other: Path) -> None:
    """Train all epochs once the other process is ready, too; print how many were trained here."""
    train_stage(config, 1, StageStore(ready.with_suffix(".own")), Path())  # all is imported
    ready.touch()
    while not other.exists():
        time.sleep(0.001)
    epochs = range(1, config.epochs + 1)
    results = [train_stage(config, epoch, store, Path()).result for epoch in epochs]
    print(sum(result.worker == worker_name() for result in results))


def hold(file: Path, held: Path) -> None:
    """Hold the claim until this process is killed."""
    with claimed(file, KEY):
        held.touch()
        signal.pause()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_two_processes_that_need_the_same_epochs_train_each_once(
    place: str, small: Small, store: StageStore, s3: str, tmp_path: Path
) -> None:
    """The one that comes second waits, and looks the epoch up; in a bucket both may come first."""
    config = small(epochs=4)
    if place == "bucket":
        store = StageStore(f"{s3}/{uuid.uuid4().hex}")
    names = [tmp_path / "first", tmp_path / "second"]
    outputs = [name.with_suffix(".txt") for name in names]
    pairs = zip(outputs, names, reversed(names), strict=True)
    processes = [begin(out, train_beside, config, store, *ready) for out, *ready in pairs]
    for process in processes:
        process.join()
    trained = sum(int(output.read_text()) for output in outputs)
    assert trained == config.epochs if place == "folder" else trained < 2 * config.epochs


def test_a_claim_ends_with_its_holder_and_holds_for_one_key(tmp_path: Path) -> None:
    """A process that was killed is not waited for, and others' keys are free."""
    file, held = tmp_path / "claims", tmp_path / "held"
    process = begin(tmp_path / "output", hold, file, held)
    while not held.exists():
        time.sleep(0.001)
    with claimed(file, "1" + KEY[1:], patience=60):
        pass
    began = time.monotonic()
    with claimed(file, KEY, patience=0.2):  # without it, after the time
        assert time.monotonic() - began >= 0.2
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with claimed(file, KEY, patience=60):
        assert time.monotonic() - began < 60


def test_a_lease_is_waited_for_while_it_is_renewed(s3: str) -> None:
    """Its holder removes it; one that nobody renews is taken over, and others' keys are free."""
    store, began, order = StageStore(f"{s3}/{uuid.uuid4().hex}"), threading.Event(), list[str]()
    calls = [partial(it, f"{store.url}/claims/{KEY}") for it in (store._read, store._write)]
    calls.append(partial(store._remove, f"{store.url}/claims/{KEY}"))

    def hold_it() -> None:
        with leased(*calls, renew=0.05, stale=60):
            began.set()
            time.sleep(1)
            order.append("first")

    thread = threading.Thread(target=hold_it)
    thread.start()
    began.wait()
    with store.claimed("1" + KEY[1:]):
        assert order == []
    with leased(*calls, stale=0.5):  # renewed meanwhile, or it would be taken over
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert calls[0]() is None
    calls[1](b"of a process that was killed")
    with leased(*calls, stale=0.5):
        assert calls[0]() != b"of a process that was killed"


def test_a_claim_that_cannot_be_made_is_an_error_in_one_line(store: StageStore) -> None:
    """As for everything that the store writes."""
    Path(store.url).parent.mkdir(parents=True, exist_ok=True)
    Path(store.url).write_text("a file")
    with pytest.raises(Exception, match=r"stage store .* cannot be written"), store.claimed(KEY):
        pass
