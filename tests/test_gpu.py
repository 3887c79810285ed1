"""Sweeps on a GPU: the same bits however its epochs are spread over processes."""

from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from processes import finish, start

from sweeps import load_curves, load_trials
from trainer.killpoints import VARIABLE

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")

SWEEP = "--study s --dataset digits --trials 6 --epochs 3 --limit 300 --device cuda"
WORDS = [*SWEEP.split(" "), "--concurrent-trials", "4"]
QUARTERS = ["--gpus-per-trial", "0.25"]
NUMBERS = ["lr", "running_loss", "train_loss", "val_loss", "val_accuracy"]


def numbers(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the trials were and how they ended, and the numbers of their epochs."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    trials, curves = (load("s", tracking_uri=uri) for load in (load_trials, load_curves))
    decided = ["trial", "state", "optimizer", "lr", "best_epoch", "best_val_loss"]
    return trials[decided], curves[["trial", "epoch", *NUMBERS]]


def swept(folder: Path, *words: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The numbers of a sweep in this folder, begun or resumed."""
    folder.mkdir(exist_ok=True)
    ended = finish(folder, start(folder, [*WORDS, *words]))
    assert ended.status == 0, ended.output
    return numbers(folder)


def test_trials_that_share_a_gpu_or_die_there_equal_those_of_one_process(tmp_path: Path) -> None:
    """One process; four workers on a quarter of the GPU each; the same, killed twice."""
    alone = swept(tmp_path / "alone", "--executor", "inline")
    assert (alone[0]["state"] != "failed").all()

    folder = tmp_path / "killed"
    folder.mkdir()
    for place in ("trial-decided@2", "numbers-logged@5"):
        ended = finish(folder, start(folder, [*WORDS, *QUARTERS], **{VARIABLE: place}))
        assert ended.status == -signal.SIGKILL, ended.output
    for other in (swept(tmp_path / "shared", *QUARTERS), swept(folder, *QUARTERS)):
        pd.testing.assert_frame_equal(alone[0], other[0])
        pd.testing.assert_frame_equal(alone[1], other[1])


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch's own loading
def test_a_winner_trained_on_a_gpu_is_served_without_one(tmp_path: Path) -> None:
    """The tensors of the registered network are on the CPU."""
    swept(tmp_path / "a", "--executor", "inline")
    (exported,) = (tmp_path / "a").rglob("*.pt2")
    tensors = torch.export.load(exported).state_dict.values()
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
