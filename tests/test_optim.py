import copy
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from trainer.config import TrainConfig
from trainer.errors import ConfigError
from trainer.optim import (
    build_optimizer,
    check_optimizer,
    load_optimizer,
    moved,
    optimizer_names,
    rates,
    set_rates,
)
from trainer.stage import train_stage
from trainer.store import StageStore

UNFIT = {"LBFGS", "Muon", "SparseAdam"}


def accepted() -> list[str]:
    """The optimizers that a config may name."""
    names = []
    for name in optimizer_names():
        try:
            check_optimizer(name, {})
        except ConfigError:
            continue
        names.append(name)
    return names


def layer() -> nn.Conv2d:
    """A small convolution, always the same."""
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step towards zero."""
    optimizer.zero_grad()
    model(torch.ones(1, 3, 5, 5)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("lr", [0.01, 0.3, 1e-4])
@pytest.mark.parametrize("step_size", [1, 2, 3, 5, 10, 20, 21])
@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5, 1 / 3, 0.1, 0.05])
def test_rates_are_those_of_a_loop_that_steps_torchs_scheduler(
    lr: float, step_size: int, gamma: float
) -> None:
    """Equal to the bit to StepLR in a loop, and to lr * gamma ** (epoch // step_size) to 1e-12."""
    model = layer()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    scheduler = StepLR(optimizer, step_size, gamma)
    stepped = []
    for _ in range(20):
        stepped.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    got = [rate["lr"] for rate in rates("SGD", {}, lr, step_size, gamma, 20, "cpu")]
    assert got == stepped
    closed = [lr * gamma ** (epoch // step_size) for epoch in range(20)]
    assert got == pytest.approx(closed, rel=1e-12, abs=0.0)


def test_rates_hold_every_scalar_of_the_group_and_only_those() -> None:
    """What decides an epoch is in its key, be it a default of torch's or the user's; no tensors."""
    (rate,) = rates("SGD", {"momentum": 0.9}, 0.1, 5, 0.1, 1, "cpu")
    optimizer = torch.optim.SGD(layer().parameters(), lr=0.1, momentum=0.9, fused=True)
    group = optimizer.param_groups[0]
    assert rate == {name: value for name, value in group.items() if name != "params"}


@pytest.mark.parametrize("name", accepted())
def test_every_optimizer_that_is_accepted_trains(
    name: str, small: Callable[..., TrainConfig], store: StageStore, tmp_path: Path
) -> None:
    """Each of two epochs gives a finite loss and moves the weights."""
    config = small(optimizer=name, lr=0.0001, epochs=2, limit=20, batch_size=10)
    digests = set()
    for epoch in (1, 2):
        result = train_stage(config, epoch, store, tmp_path).result
        assert math.isfinite(result.train_loss)
        digests.add(result.state_digest)
    assert len(digests) == 2


def test_only_optimizers_that_need_more_than_a_dense_step_are_refused() -> None:
    """Whatever else torch has can be swept by its name."""
    assert set(optimizer_names()) - set(accepted()) == UNFIT
    for name in optimizer_names():
        assert "lr" in inspect.signature(getattr(torch.optim, name)).parameters


@pytest.mark.parametrize("name", accepted())
def test_fused_is_taken_where_torch_has_it_for_this_device(name: str) -> None:
    """It is the fastest implementation; elsewhere torch's own choice stands."""
    has_it = "fused" in inspect.signature(getattr(torch.optim, name)).parameters
    optimizer = build_optimizer(name, layer().parameters(), 0.1, {}, "cpu")
    assert optimizer.param_groups[0].get("fused") is (True if has_it else None)


@pytest.mark.parametrize("args", [{"fused": False}, {"foreach": True}, {"foreach": False}])
def test_a_user_who_chose_an_implementation_gets_it(args: dict[str, bool]) -> None:
    """Fused is only a default."""
    group = build_optimizer("SGD", layer().parameters(), 0.1, args, "cpu").param_groups[0]
    assert {name: group[name] for name in args} == args
    assert not group["fused"]


def test_lists_from_json_become_the_tuples_torch_wants() -> None:
    """JSON has no tuples, and torch's betas are one."""
    group = build_optimizer("Adam", layer().parameters(), 0.1, {"betas": [0.5, 0.9]}, "cpu")
    assert group.param_groups[0]["betas"] == (0.5, 0.9)


@pytest.mark.parametrize("name", accepted())
def test_a_loaded_optimizer_goes_on_with_the_same_bits(name: str) -> None:
    """Saved and loaded between two steps, or not: the third step gives the same weights."""
    straight, resumed = layer(), layer()
    one = build_optimizer(name, straight.parameters(), 0.01, {}, "cpu")
    for _ in range(2):
        step(straight, one)
    resumed.load_state_dict(straight.state_dict())
    other = build_optimizer(name, resumed.parameters(), 0.01, {}, "cpu")
    load_optimizer(other, copy.deepcopy(one.state_dict()))
    step(straight, one)
    step(resumed, other)
    assert torch.equal(straight.weight, resumed.weight)


def test_state_is_loaded_in_the_type_it_was_saved_in() -> None:
    """torch would round a wider state to the type of the weights."""
    model = layer()
    optimizer = build_optimizer("Adam", model.parameters(), 0.01, {}, "cpu")
    step(model, optimizer)
    saved: dict[str, Any] = optimizer.state_dict()
    wide = torch.full_like(saved["state"][0]["exp_avg"], 1 / 3, dtype=torch.float64)
    saved["state"][0]["exp_avg"] = wide
    fresh = build_optimizer("Adam", model.parameters(), 0.01, {}, "cpu")
    load_optimizer(fresh, saved)
    loaded = fresh.state_dict()["state"]
    assert loaded[0]["exp_avg"].dtype == torch.float64
    assert torch.equal(loaded[0]["exp_avg"], wide)
    assert loaded[1]["exp_avg"].dtype == torch.float32


def test_what_a_schedule_moves_is_found() -> None:
    """Always the rate; and with OneCycle, say, the momentum too."""
    assert moved(rates("SGD", {}, 0.1, 5, 0.1, 3, "cpu")) == {"lr"}
    optimizer = torch.optim.SGD(layer().parameters(), lr=0.1, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=5)
    in_force = []
    for _ in range(3):
        group = optimizer.param_groups[0]
        in_force.append({name: group[name] for name in ("lr", "momentum", "nesterov")})
        optimizer.step()
        scheduler.step()
    assert moved(in_force) == {"lr", "momentum"}


def test_setting_rates_leaves_what_the_schedule_does_not_move() -> None:
    """What an optimizer keeps in its groups for itself stays."""
    optimizer = torch.optim.SGD(layer().parameters(), lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["own"] = "kept"
    set_rates(optimizer, {"lr": 0.5, "momentum": 0.0, "own": "lost"}, {"lr"})
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["own"]) == (0.5, 0.9, "kept")
