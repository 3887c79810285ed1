import math
import shlex

import pandas as pd
import pytest
import typer

from sweeps.report.reading.columns import CONFIG_COLUMNS
from sweeps.report.reading.command import train_command
from trainer.__main__ import app
from trainer.settings import flags
from trainer.settings.config import TrainConfig
from trainer.tracking.record import params_of


def parsed(command):
    """The config that `python -m trainer` makes of a command, without training it."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "trainer"]
    values = dict(typer.main.get_command(app).make_context("trainer", words[3:]).params)
    given = flags.Flags(TrainConfig).given(values)
    return TrainConfig().override(given | flags.parse_settings(values["settings"] or ()))


def row_of(config):
    """The config as a row of the trials."""
    params = params_of(config)
    row = {CONFIG_COLUMNS.get(name, name): text for name, text in params.items()}
    numbers = {"lr": float, "gamma": float, "step_size": int, "asked_epochs": int, "seed": int}
    numbers |= {"batch_size": int, "threads": int, "momentum": float}
    row |= {name: kind(row[name]) for name, kind in numbers.items() if name in row}
    row |= {name: getattr(config, name) for name in ("shuffle", "normalize", "deterministic")}
    if config.warmup:
        row |= {"warmup": float(config.warmup), "warmup_start": config.warmup_start}
    for name in ("image_size", "limit", "clip_grad_norm"):
        value = getattr(config, name)
        row[name] = math.nan if value is None else float(value)
    return pd.Series(row | {"trial": 3, "best_val_loss": 1.0, "weight_decay": math.nan})


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(lr=1e-05, gamma=0.30000000000000004, step_size=7, epochs=3, seed=12),
        TrainConfig(optimizer="Adam", optimizer_args={"betas": [0.8, 0.99], "amsgrad": True}),
        TrainConfig(optimizer_args={"momentum": 0.9}, limit=50, shuffle=False, device="cpu"),
        TrainConfig(dataset="my data's.npz", split="train", batch_size=1, threads=2),
        TrainConfig(optimizer_args={"foreach": None}),
        TrainConfig(clip_grad_norm=0.5),
        TrainConfig(normalize=True, augment="crop,flip", image_size=32, deterministic=False),
        TrainConfig(scheduler="none", warmup=3, warmup_start=0.1, scheduler_interval="batch"),
        TrainConfig(scheduler="MultiStepLR", scheduler_args={"milestones": [1, 3]}, gamma=0.5),
        TrainConfig(model="brought:noisy", model_args={"dropout": 0.25}, loss="brought:smooth"),
    ],
    ids=lambda config: f"{config.optimizer}-{config.dataset}-{config.seed}-{config.device}",
)
def test_the_command_trains_the_same_config(config):
    """What `python -m trainer` makes of the command is the trial's config."""
    assert parsed(train_command(row_of(config))) == config


def test_the_command_leaves_defaults_out():
    """What a sweep searches is there, what nobody changed is not."""
    assert train_command(row_of(TrainConfig(seed=7))) == (
        "python -m trainer --optimizer SGD --lr 0.01 --step-size 5 --gamma 0.1 --epochs 20 --seed 7"
    )
