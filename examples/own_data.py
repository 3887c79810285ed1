"""Data of your own: a function that gives four arrays.

    python -m sweeps.run --dataset examples.own_data:arrays --epochs 5 --trials 20

Images in one file, an .npz with the same four names, need no function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 32


def arrays() -> dict[str, NDArray[np.uint8]]:
    """Stripes in two colours, to be told apart by their direction, under noise.

    Images are uint8, N x 32 x 32 x 3; labels 0 (upright) or 1 (level). The function is called once,
    and again after its code has changed.
    """
    draw = np.random.default_rng(0)

    def some(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        labels = draw.integers(0, 2, count, dtype=np.uint8)
        waves = 127 * (1 + np.sin(np.arange(SIDE) * 0.8))
        upright = np.broadcast_to(waves, (SIDE, SIDE))
        images = np.where(labels[:, None, None] == 0, upright, upright.T)
        noisy = images[..., None] + draw.normal(0, 60, (count, SIDE, SIDE, 3))
        return noisy.clip(0, 255).astype(np.uint8), labels

    train_images, train_labels = some(1200)
    test_images, test_labels = some(300)
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }
