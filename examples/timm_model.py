"""A network of timm on a folder of images; needs `pip install timm`.

    python examples/timm_model.py photos
    python -m sweeps.run --dataset photos/ --image-size 32 --split train --normalize \
        --augment crop --model examples.timm_model:net --scheduler OneCycleLR \
        --scheduler-interval batch --epochs 3 --trials 4 --space examples/timm_model.toml

The first command writes the folder, from scikit-learn's digits: photos/train/CLASS/NUMBER.png and
photos/test/CLASS/NUMBER.png. Any folder of that form does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn


def net(num_classes: int, in_channels: int) -> nn.Module:
    """MobileNetV3, with random weights."""
    import timm

    model: nn.Module = timm.create_model(
        "mobilenetv3_small_050", num_classes=num_classes, in_chans=in_channels
    )
    return model


def write_images(folder: Path) -> None:
    """Each sixth of the digits is a test image."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        part = "train" if number % 6 else "test"
        path = folder / part / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype("uint8")).resize((32, 32)).save(path)
    print(f"wrote {len(digits.target):,} images to {folder}")


if __name__ == "__main__":
    write_images(Path(sys.argv[1] if len(sys.argv) > 1 else "photos"))
