"""What a study is recognised by: a name made from its settings, and how settings differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from trainer.settings.config import TrainConfig


def readable_name(train: TrainConfig, pruner: str, settings: Mapping[str, Any]) -> str:
    """Words on data, epochs and pruner, and a hash of all settings."""
    words = [*_words(train), pruner.rpartition(":")[2].removesuffix("Pruner").lower()]
    text = json.dumps(settings, sort_keys=True)
    return "-".join((*words, hashlib.sha256(text.encode()).hexdigest()[:6]))


def _words(train: TrainConfig) -> list[str]:
    if train.trainable:
        return [train.trainable.rpartition(":")[2], f"e{train.epochs}"]
    data = train.dataset.removesuffix(".npz").rstrip("/").rsplit("/", 1)[-1]
    words = [re.sub(r"[^\w.\-]", "_", data), train.split]
    if train.limit is not None:
        words.append(f"n{train.limit}")
    return [*words, f"e{train.epochs}", f"b{train.batch_size}"]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differing settings, each as "name: old -> new"."""
    return [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
