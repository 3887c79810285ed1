"""Schedules, and every optimizer under each of them, against a plain torch loop.

`python tests/test_schedule.py` prints the table of the pairs that were compared.
"""

import inspect
import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import brought
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import StepLR

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.settings.references import find
from trainer.settings.schedulers import SCHEDULERS
from trainer.stages.plan import plan
from trainer.stages.stage import data_of, train_stage
from trainer.stages.store import StageStore
from trainer.training.check import check_train
from trainer.training.optim import find_optimizer, set_rates
from trainer.training.recipe import Recipe
from trainer.training.schedule import Rates, Schedule
from trainer.training.trainable import epoch_seed

LR, EPOCHS, TRAIN, VAL, BATCH, SEED = 0.01, 4, 20, 4, 8, 3
BATCHES = 3  # in an epoch: two of 8, one of 4

# what a plain loop gives each scheduler, where one step is an epoch and where it is a batch
SCHEDULES: dict[str, Callable[[int], dict[str, Any]]] = {
    "none": lambda steps: {},
    "StepLR": lambda steps: {"step_size": 2, "gamma": 0.5},
    "MultiStepLR": lambda steps: {"milestones": [1, 3], "gamma": 0.5},
    "ConstantLR": lambda steps: {"total_iters": 2},
    "LinearLR": lambda steps: {"total_iters": 3},
    "ExponentialLR": lambda steps: {"gamma": 0.5},
    "PolynomialLR": lambda steps: {"total_iters": 3, "power": 2.0},
    "CosineAnnealingLR": lambda steps: {"T_max": steps},
    "CosineAnnealingWarmRestarts": lambda steps: {"T_0": 2, "eta_min": 0.001},
    "CyclicLR": lambda steps: {"base_lr": LR, "max_lr": 0.1, "step_size_up": 2},
    "OneCycleLR": lambda steps: {"max_lr": LR, "total_steps": steps},
    "ReduceLROnPlateau": lambda steps: {"patience": 0, "threshold": 0.5},
    "warm-up, CosineAnnealingLR": lambda steps: {"T_max": steps - 2},
    "warm-up, none": lambda steps: {},
}
OWN_DEFAULTS = {"T_max": "CosineAnnealingLR", "total_steps": "OneCycleLR", "base_lr": "CyclicLR"}
DENSE = [
    *("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "NAdam"),
    *("RAdam", "RMSprop", "Rprop", "SGD"),
]
ARGS: dict[str, dict[str, Any]] = {"LBFGS": {"max_iter": 4}}
BROUGHT = [
    "schedulefree:AdamWScheduleFree",
    "pytorch_optimizer:Lion",
    "brought:Halving",
    "brought:Heads",
]
CYCLES_MOMENTUM = ("CyclicLR", "OneCycleLR")


def rates_of(
    config: TrainConfig, batches: int, val_losses: Sequence[float] = ()
) -> tuple[Rates, ...]:
    """The rates of each epoch, as far as the results determine them."""
    optimizer = find_optimizer(config.optimizer, config.optimizer_args)
    return Schedule(config, optimizer).rates(batches, val_losses)


def config_of(sample: Path, optimizer: str, schedule: str, interval: str) -> TrainConfig:
    """The run as users of this project write it: what it has defaults for is left out."""
    scheduler = schedule.removeprefix("warm-up, ")
    steps = EPOCHS * (BATCHES if interval == "batch" else 1)
    values = {}
    for name, value in SCHEDULES[schedule](steps).items():
        if OWN_DEFAULTS.get(name) != scheduler and (name, scheduler) != ("max_lr", "OneCycleLR"):
            values[name if name in ("step_size", "gamma") else f"scheduler.{name}"] = value
    if scheduler in CYCLES_MOMENTUM and not has_momentum(optimizer):
        values["scheduler.cycle_momentum"] = False
    return TrainConfig(
        dataset=str(sample),
        limit=TRAIN,
        batch_size=BATCH,
        epochs=EPOCHS,
        device="cpu",
        seed=SEED,
        model="brought:tiny",
        optimizer=optimizer,
        optimizer_args=ARGS.get(optimizer, {}),
        lr=LR,
    ).override(
        {"scheduler": scheduler, "scheduler_interval": interval}
        | {"warmup": 2 if schedule.startswith("warm-up") else 0}
        | values
    )


def has_momentum(optimizer: str) -> bool:
    """Whether a schedule can cycle its momentum; schedulefree's means something else."""
    if optimizer.startswith("schedulefree"):
        return False
    maker = find("optimizer", optimizer) if ":" in optimizer else getattr(torch.optim, optimizer)
    return bool({"momentum", "betas"} & set(inspect.signature(maker).parameters))


def plain_loop(
    sample: Path, optimizer_name: str, schedule: str, interval: str, network: str
) -> tuple[list[float], list[float], list[torch.Tensor]]:
    """The same run as torch's tutorials write it: losses, rates, and weights as validated."""
    torch.set_num_threads(1)
    arrays = np.load(sample)
    images, labels = images_of(arrays, "test", TRAIN)
    val_images, val_labels = images_of(arrays, "train", VAL)
    torch.manual_seed(SEED)
    model = getattr(brought, network)(10, 3)
    if optimizer_name != "LBFGS":  # which torch can only do with weights that lie flat
        model.to(memory_format=torch.channels_last)
    own = ":" in optimizer_name
    maker = find("", optimizer_name) if own else getattr(torch.optim, optimizer_name)
    given = dict(ARGS.get(optimizer_name, {}))
    given |= {"fused": True} if optimizer_name in ("SGD", "Adam", "AdamW", "Adagrad") else {}
    weights = model.param_groups(LR) if hasattr(model, "param_groups") else model.parameters()
    optimizer = maker(weights, lr=LR, **given)
    steps = EPOCHS * (BATCHES if interval == "batch" else 1)
    name = schedule.removeprefix("warm-up, ")
    args = SCHEDULES[schedule](steps)
    if name in CYCLES_MOMENTUM and not has_momentum(optimizer_name):
        args["cycle_momentum"] = False
    warm_up = None
    if schedule.startswith("warm-up"):
        warm_up = lr_scheduler.LinearLR(optimizer, 1 / 3, total_iters=2)
    scheduler = None if name == "none" else getattr(lr_scheduler, name)(optimizer, **args)
    if warm_up is not None and scheduler is not None:
        scheduler = lr_scheduler.SequentialLR(optimizer, [warm_up, scheduler], [2])
    scheduler = scheduler or warm_up

    losses, rates = [], []
    for epoch in range(1, EPOCHS + 1):
        torch.manual_seed(epoch_seed(SEED, epoch))
        generator = torch.Generator().manual_seed(epoch_seed(SEED, epoch))
        order = torch.randperm(TRAIN, generator=generator)
        rates.append(optimizer.param_groups[0]["lr"])
        if hasattr(optimizer, "train"):
            optimizer.train()
        for batch in order.split(BATCH):

            def closure(batch: torch.Tensor = batch) -> torch.Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images[batch]), labels[batch])
                loss.backward()
                return loss

            if optimizer_name == "LBFGS":
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
            if scheduler is not None and interval == "batch":
                scheduler.step()
        if hasattr(optimizer, "eval"):
            optimizer.eval()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(val_images), val_labels, reduction="sum") / VAL)
        if name == "ReduceLROnPlateau":
            scheduler.step(losses[-1].item())
        elif scheduler is not None and interval == "epoch":
            scheduler.step()
    return [loss.item() for loss in losses], rates, list(model.parameters())


def images_of(arrays: Any, source: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first so many images of it, channels last, and their labels."""
    pixels = torch.tensor(arrays[f"{source}_images"][:count]).permute(0, 3, 1, 2)
    return pixels.to(torch.float32) / 255, torch.tensor(arrays[f"{source}_labels"][:count]).long()


def equals_plain_loop(
    sample: Path,
    optimizer: str,
    schedule: str,
    interval: str,
    folder: Path,
    network: str = "tiny",
) -> bool:
    """Whether every validation loss, every rate and every weight has the same bits."""
    config = replace(config_of(sample, optimizer, schedule, interval), model=f"brought:{network}")
    store = StageStore(folder / f"{optimizer}-{schedule}-{interval}")
    results = [train_stage(config, epoch, store, folder).result for epoch in range(1, EPOCHS + 1)]
    stages = plan(Recipe(config, data_of(config, folder)), [result.val_loss for result in results])
    state = store.state(stages[EPOCHS].key)
    assert state is not None
    losses, rates, weights = plain_loop(sample, optimizer, schedule, interval, network)
    return (
        [result.val_loss for result in results] == losses
        and [result.values["lr"] for result in results] == rates
        and all(map(torch.equal, state["model"].values(), weights))
    )


def pairs() -> list[tuple[str, str]]:
    """Every schedule with every interval it can have."""
    every = itertools.product(SCHEDULES, ("epoch", "batch"))
    return [pair for pair in every if pair != ("ReduceLROnPlateau", "batch")]


@pytest.mark.parametrize(("schedule", "interval"), pairs())
def test_every_optimizer_under_every_schedule_equals_a_plain_torch_loop(
    schedule: str, interval: str, sample: Path, tmp_path: Path
) -> None:
    """Bit for bit: losses, rates and weights. Run, this file compares all pairs."""
    some = ["SGD", "AdamW", "brought:Heads"] + (
        ["LBFGS", BROUGHT[0]] if interval == "epoch" else []
    )
    every = (schedule, interval) in (("StepLR", "epoch"), ("ReduceLROnPlateau", "epoch"))
    for optimizer in [*DENSE, *BROUGHT] if every else some:
        assert equals_plain_loop(sample, optimizer, schedule, interval, tmp_path), optimizer


@pytest.mark.parametrize(
    ("schedule", "interval"),
    [
        ("none", "epoch"),
        ("StepLR", "epoch"),
        ("ReduceLROnPlateau", "epoch"),
        ("warm-up, none", "epoch"),
        ("OneCycleLR", "batch"),
    ],
)
def test_parameter_groups_of_a_model_equal_a_plain_torch_loop(
    schedule: str, interval: str, sample: Path, tmp_path: Path
) -> None:
    """Each group has its own rate, which the schedule scales as torch does."""
    for optimizer in ("SGD", "AdamW", "Adagrad", BROUGHT[0], "brought:Halving"):
        equals = equals_plain_loop(sample, optimizer, schedule, interval, tmp_path, "Grouped")
        assert equals, optimizer


@pytest.mark.parametrize(
    ("optimizer", "model", "message"),
    [
        ("SGD", "Overlapping", "SGD must take what param_groups of Overlapping returns, but: some"),
        ("LBFGS", "Grouped", "LBFGS must take what param_groups of Grouped returns, but: LBFGS "),
    ],
)
def test_groups_that_an_optimizer_refuses_are_one_line(
    optimizer: str, model: str, message: str, sample: Path, tmp_path: Path
) -> None:
    """Before anything is trained."""
    config = replace(config_of(sample, optimizer, "none", "epoch"), model=f"brought:{model}")
    with pytest.raises(ConfigError) as caught:
        plan(Recipe(config, data_of(config, tmp_path)))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_schedule_that_plain_values_make_is_compared() -> None:
    """No row of the table is forgotten."""
    assert {name.removeprefix("warm-up, ") for name in SCHEDULES} == set(SCHEDULERS)


@pytest.mark.parametrize("lr", [0.01, 0.3, 1e-4])
@pytest.mark.parametrize("step_size", [1, 2, 3, 5, 10, 20, 21])
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5, 1 / 3, 0.1, 0.05])
def test_rates_are_those_of_a_loop_that_steps_torchs_scheduler(
    lr: float, step_size: int, gamma: float
) -> None:
    """Equal to the bit to StepLR in a loop, and to lr * gamma ** (epoch // step_size) to 1e-12."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler = StepLR(optimizer, step_size, gamma)
    stepped = []
    for _ in range(20):
        stepped.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    config = TrainConfig(lr=lr, step_size=step_size, gamma=gamma, device="cpu")
    got = [rates.scalars["lr"] for rates in rates_of(config, batches=7)]
    assert got == stepped
    closed = [lr * gamma ** (epoch // step_size) for epoch in range(20)]
    assert got == pytest.approx(closed, rel=1e-12, abs=0.0)


def test_rates_hold_every_scalar_of_the_group_and_only_those() -> None:
    """What decides an epoch is in its key, be it a default of torch's or the user's; no tensors."""
    config = TrainConfig(optimizer_args={"momentum": 0.9}, lr=0.1, epochs=1, device="cpu")
    (rates,) = rates_of(config, batches=1)
    weights = [torch.nn.Parameter(torch.zeros(1))]
    group = torch.optim.SGD(weights, lr=0.1, momentum=0.9, fused=True).param_groups[0]
    assert rates.scalars == {name: value for name, value in group.items() if name != "params"}


def test_what_a_schedule_moves_is_found() -> None:
    """Always the rate; and with OneCycle the momentum too."""
    config = TrainConfig(epochs=3, device="cpu")
    assert [rates.moved for rates in rates_of(config, batches=2)] == [{"lr"}] * 3
    cycle = replace(config, scheduler="OneCycleLR", optimizer_args={"momentum": 0.9})
    assert [rates.moved for rates in rates_of(cycle, batches=2)] == [{"lr", "momentum"}] * 3


def test_a_schedule_by_batch_says_what_each_batch_has() -> None:
    """As many as there are, the first as the epoch begins."""
    config = TrainConfig(
        scheduler="ExponentialLR", gamma=0.5, scheduler_interval="batch", epochs=2, device="cpu"
    )
    rates = rates_of(config, batches=3)
    assert [one["lr"] for epoch in rates for one in epoch.batches] == [
        0.01 * 0.5**step for step in range(6)
    ]
    assert [epoch.scalars["lr"] for epoch in rates] == [0.01, 0.01 * 0.5**3]


def test_a_schedule_that_looks_at_results_is_known_one_epoch_beyond_them() -> None:
    """Not further, and the same as far as the same results go."""
    config = TrainConfig(scheduler="ReduceLROnPlateau", epochs=5, device="cpu").override(
        {"scheduler.patience": 0}
    )
    known = [rates_of(config, 1, [1.0, 2.0, 3.0][:count]) for count in range(4)]
    assert [len(rates) for rates in known] == [1, 2, 3, 4]
    assert [rates.scalars["lr"] for rates in known[3]] == pytest.approx([0.01, 0.01, 0.001, 1e-4])
    for shorter, longer in itertools.pairwise(known):
        assert longer[: len(shorter)] == shorter


def test_schedules_that_agree_so_far_share_their_epochs(sample: Path, tmp_path: Path) -> None:
    """A schedule that has not moved yet is none, whatever its name."""
    shared: dict[str, Any] = {"dataset": str(sample), "limit": 20, "epochs": 4, "device": "cpu"}
    keys = {}
    for name, values in {
        "none": {},
        "StepLR": {"step_size": 3},
        "MultiStepLR": {"scheduler.milestones": [2]},
        "ReduceLROnPlateau": {"scheduler.patience": 0},
    }.items():
        config = TrainConfig(**shared).override({"scheduler": name, **values})
        stages = plan(Recipe(config, data_of(config, tmp_path)), [1.0, 1.0, 1.0])
        keys[name] = [stage.key for stage in stages]
    agree = [
        sum(one == other for one, other in zip(keys["none"], it, strict=True))
        for it in keys.values()
    ]
    assert agree == [5, 4, 3, 3]


def test_setting_rates_leaves_what_the_schedule_does_not_move() -> None:
    """What an optimizer keeps in its groups for itself stays."""
    weights = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["own"] = "kept"
    set_rates(optimizer, [{"lr": 0.5}])
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["own"]) == (0.5, 0.9, "kept")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheduler": "CosinAnealingLR"}, "did you mean 'CosineAnnealingLR'?"),
        ({"scheduler": "LambdaLR"}, "Unknown scheduler 'LambdaLR'"),
        ({"scheduler": "CosineAnnealingLR", "scheduler.Tmax": 5}, "did you mean 'T_max'?"),
        ({"scheduler.step_size": 5}, "step_size must be given as step_size"),
        ({"scheduler": "CosineAnnealingWarmRestarts"}, "needs scheduler.T_0"),
        (
            {"scheduler": "CosineAnnealingWarmRestarts", "scheduler.T_0": 0},
            "Expected positive integer T_0",
        ),
        ({"scheduler": "OneCycleLR", "optimizer": "Adagrad"}, "must support momentum or beta1"),
        ({"scheduler": "OneCycleLR", "scheduler.total_steps": 5}, "Tried to step 6 times"),
        ({"scheduler": "ReduceLROnPlateau", "scheduler_interval": "batch"}, "must be 'epoch'"),
        ({"scheduler": "ReduceLROnPlateau", "warmup": 2}, "warmup must be 0"),
        ({"scheduler": "none", "scheduler.gamma": 2}, "gamma must be given as gamma"),
        ({"scheduler": "none", "scheduler.last": 2}, "Unknown argument of none 'last'"),
        ({"warmup": -1}, "warmup must be a whole number of at least 0"),
        ({"warmup_start": 0.0}, "warmup_start must be in (0, 1]"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_before_training(
    values: dict[str, Any], message: str
) -> None:
    """With the nearest right name, or torch's reason."""
    with pytest.raises(ConfigError) as caught:
        check_train(TrainConfig().override(values))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def main() -> None:
    """Print which optimizer equals a plain torch loop under which schedule."""
    sample = Path(__file__).parent / "sample" / "cifar10.npz"
    warnings.simplefilter("ignore")
    columns = pairs()
    print("| optimizer | " + " | ".join(f"{name}, by {by}" for name, by in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for optimizer in [*DENSE, *BROUGHT]:
        with tempfile.TemporaryDirectory() as folder:
            cells = [
                "equal" if equals_plain_loop(sample, optimizer, *pair, Path(folder)) else "differs"
                for pair in columns
            ]
        print(f"| {optimizer} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
