"""The keys of stages, pinned: what is stored under them is found by every later version.

`python tests/test_keys.py` records what they are now. New keys make every stored epoch unreachable,
so whoever records some says so in the change log.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import npz

import trainer.stages.plan
import trainer.training.recipe
from trainer.data import load
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.training.recipe import Recipe

KEYS = Path(__file__).with_name("keys.json")
CHANGES: list[dict[str, Any]] = [
    {},
    {"optimizer": "SGD", "momentum": 0.9, "nesterov": True},
    {"optimizer": "Adam", "lr": 0.001, "betas": [0.8, 0.9]},
    {"optimizer": "AdamW", "weight_decay": 0.1, "gamma": 0.5},
    {"optimizer": "Adagrad", "step_size": 1},
    {"optimizer": "LBFGS", "max_iter": 4},
    {"optimizer": "RMSprop", "foreach": None, "alpha": 0.9},
    {"seed": 3},
    {"shuffle": False},
    {"batch_size": 7},
    {"threads": 2},
    {"split": "train", "limit": 30},
    {"augment": "crop,flip", "normalize": True},
    {"scheduler": "none"},
    {"scheduler": "CosineAnnealingLR", "warmup": 1},
    {"scheduler": "OneCycleLR", "scheduler_interval": "batch", "momentum": 0.9},
    {"scheduler": "ExponentialLR", "gamma": 0.7},
    {"scheduler": "ReduceLROnPlateau", "scheduler.patience": 0},
    {"model": "brought:noisy", "model.width": 2, "loss": "brought:smooth"},
    {"optimizer": "brought:Heads", "model": "brought:tiny"},
    {"unshared": "study/1", "deterministic": False},
]


def keys() -> dict[str, list[str]]:
    """Key and result key of the last stage of each config, of a platform that does not change."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.stages.plan, "platform", lambda device: {"torch": "pinned"})
        patch.setattr(trainer.training.recipe, "code_digest", lambda reference: "pinned")
        pixels = np.arange(40 * 32 * 32 * 3, dtype=np.uint32).reshape(40, 32, 32, 3) % 251
        images = {f"{source}_images": pixels.astype(np.uint8) for source in ("train", "test")}
        labels = {f"{source}_labels": np.arange(40) % 10 for source in ("train", "test")}
        dataset = npz(Path(folder, "data.npz"), **images, **labels)
        base = TrainConfig(dataset=dataset, limit=20, epochs=3, device="cpu")
        for change in CHANGES:
            config = base.override(change)
            data = load(config.dataset, config.split, config.limit, Path())
            last = plan(Recipe(config, data), [1.0, 1.0])[-1]
            found[json.dumps(change)] = [last.key, last.result_key]
    return found


def test_keys_are_those_that_epochs_were_stored_under() -> None:
    """Whatever is moved or renamed here, nobody trains an epoch again for it."""
    assert keys() == json.loads(KEYS.read_text())


if __name__ == "__main__":
    KEYS.write_text(json.dumps(keys(), indent=2) + "\n")
