"""Golden bits: what training gave when it was last looked at, by platform, in golden.json.

`python tests/test_golden.py` records what it gives on this machine now.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.settings.config import TrainConfig
from trainer.stages.plan import NUMERICS
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore
from trainer.training.device import platform

GOLDEN = Path(__file__).with_name("golden.json")
RUNS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "SGD", "optimizer_args": {"momentum": 0.9}, "lr": 0.01},
    "Adam": {"optimizer": "Adam", "lr": 0.0001},
}
LOSSES = ("running_loss", "train_loss", "val_loss", "first_batch_loss")


def this_platform() -> dict[str, str]:
    """What the keys have of this machine."""
    return platform("cpu")


def golden_config(sample: Path, name: str) -> TrainConfig:
    """Three epochs over 200 images, with a decay after the second."""
    shape: dict[str, Any] = {"limit": 200, "batch_size": 16, "epochs": 3, "step_size": 2}
    return TrainConfig(dataset=str(sample), device="cpu", **shape, **RUNS[name])


def trained(config: TrainConfig, folder: Path) -> list[dict[str, Any]]:
    """What each epoch gives, without time and place."""
    store = StageStore(folder)
    results = (train_stage(config, epoch, store, folder).result for epoch in (1, 2, 3))
    names = ("epoch", *LOSSES, "val_accuracy", "lr", "state_digest")
    every = ({"epoch": it.epoch, "state_digest": it.state_digest, **it.values} for it in results)
    return [{name: each[name] for name in names} for each in every]


@pytest.mark.parametrize("name", RUNS)
def test_training_gives_the_numbers_it_gave_before(name: str, sample: Path, tmp_path: Path) -> None:
    """To the bit where the platform is known, else the losses to 1 in 10,000.

    Another processor, or another build of torch, adds the same products in another order: its last
    bits differ, and after three epochs of steps some more of them do, but no figure that anybody
    reads. A change of the arithmetic moves the losses by more than that, or the bits on a platform
    that is known. It makes every stored stage a lie unless `NUMERICS` in `trainer.stages.plan` is
    raised.
    """
    golden = json.loads(GOLDEN.read_text())
    assert golden["numerics"] == NUMERICS, "new NUMERICS: run `python tests/test_golden.py`"
    got = trained(golden_config(sample, name), tmp_path)
    for known in golden["platforms"]:
        if known["platform"] == this_platform():
            assert got == known["runs"][name], (
                "Training gives other bits than before. If that is meant: raise "
                "trainer.stages.plan.NUMERICS, then run `python tests/test_golden.py`."
            )
            return
    for one, recorded in zip(got, golden["platforms"][0]["runs"][name], strict=True):
        for loss in LOSSES:
            assert one[loss] == pytest.approx(recorded[loss], rel=1e-4), (loss, one["epoch"])


def test_no_recorded_platform_stands_out() -> None:
    """The losses of all platforms agree as the test above asks of one that is not known."""
    first, *others = json.loads(GOLDEN.read_text())["platforms"]
    for other in others:
        for name in RUNS:
            for one, two in zip(first["runs"][name], other["runs"][name], strict=True):
                assert [one[loss] for loss in LOSSES] == pytest.approx(
                    [two[loss] for loss in LOSSES], rel=1e-4
                )


def test_recording_puts_this_platform_in_place_of_what_was_known_of_it(
    sample: Path, tmp_path: Path
) -> None:
    """Other platforms stay, unless the numerics are new: then what they gave is of the past."""
    file = tmp_path / "golden.json"
    other = {"platform": {"cpu": "other"}, "runs": {}}
    stale = {"platform": this_platform(), "runs": {}}
    for numerics, expected in ((NUMERICS, [other]), (NUMERICS - 1, [])):
        file.write_text(json.dumps({"numerics": numerics, "platforms": [stale, other]}))
        record(file, lambda name: [{"epoch": name}])
        golden = json.loads(file.read_text())
        assert golden["numerics"] == NUMERICS
        runs = {name: [{"epoch": name}] for name in RUNS}
        assert golden["platforms"] == [*expected, {"platform": this_platform(), "runs": runs}]


def record(file: Path, train: Callable[[str], list[dict[str, Any]]]) -> None:
    """Write what this machine gives into the file, and keep what other machines gave."""
    golden = json.loads(file.read_text()) if file.exists() else {"numerics": None}
    others = golden["platforms"] if golden["numerics"] == NUMERICS else []
    others = [known for known in others if known["platform"] != this_platform()]
    here = {"platform": this_platform(), "runs": {name: train(name) for name in RUNS}}
    platforms = {"numerics": NUMERICS, "platforms": [*others, here]}
    file.write_text(json.dumps(platforms, indent=2) + "\n")


if __name__ == "__main__":
    sample_file = Path(__file__).parent / "sample" / "cifar10.npz"
    with tempfile.TemporaryDirectory() as scratch:
        record(GOLDEN, lambda name: trained(golden_config(sample_file, name), Path(scratch, name)))
    print(f"recorded in {GOLDEN}", file=sys.stderr)
