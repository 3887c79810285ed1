import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainer.errors import ConfigError
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.stages.stage import data_of, train_stage
from trainer.stages.store import StageStore
from trainer.training.loop import Training
from trainer.training.optim import (
    find_optimizer,
    load_optimizer,
    optimizer_names,
    set_mode,
)
from trainer.training.recipe import Recipe

UNFIT = {"Muon", "SparseAdam"}


def accepted() -> list[str]:
    """The optimizers that a config may name."""
    names = []
    for name in optimizer_names():
        try:
            find_optimizer(name, {}).check()
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

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3, 5, 5)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


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
    optimizer = find_optimizer(name, {}).build(layer().parameters(), 0.1, "cpu")
    assert optimizer.param_groups[0].get("fused") is (True if has_it else None)


@pytest.mark.parametrize("args", [{"fused": False}, {"foreach": True}, {"foreach": False}])
def test_a_user_who_chose_an_implementation_gets_it(args: dict[str, bool]) -> None:
    """Fused is only a default."""
    group = find_optimizer("SGD", args).build(layer().parameters(), 0.1, "cpu").param_groups[0]
    assert {name: group[name] for name in args} == args
    assert not group["fused"]


def test_lists_from_json_become_the_tuples_torch_wants() -> None:
    """JSON has no tuples, and torch's betas are one."""
    group = find_optimizer("Adam", {"betas": [0.5, 0.9]}).build(layer().parameters(), 0.1, "cpu")
    assert group.param_groups[0]["betas"] == (0.5, 0.9)


@pytest.mark.parametrize("name", accepted())
def test_a_loaded_optimizer_goes_on_with_the_same_bits(name: str) -> None:
    """Saved and loaded between two steps, or not: the third step gives the same weights."""
    straight, resumed = layer(), layer()
    one = find_optimizer(name, {}).build(straight.parameters(), 0.01, "cpu")
    for _ in range(2):
        step(straight, one)
    resumed.load_state_dict(straight.state_dict())
    other = find_optimizer(name, {}).build(resumed.parameters(), 0.01, "cpu")
    load_optimizer(other, copy.deepcopy(one.state_dict()))
    step(straight, one)
    step(resumed, other)
    assert torch.equal(straight.weight, resumed.weight)


def test_state_is_loaded_in_the_type_it_was_saved_in() -> None:
    """torch would round a wider state to the type of the weights."""
    model = layer()
    optimizer = find_optimizer("Adam", {}).build(model.parameters(), 0.01, "cpu")
    step(model, optimizer)
    saved: dict[str, Any] = optimizer.state_dict()
    wide = torch.full_like(saved["state"][0]["exp_avg"], 1 / 3, dtype=torch.float64)
    saved["state"][0]["exp_avg"] = wide
    fresh = find_optimizer("Adam", {}).build(model.parameters(), 0.01, "cpu")
    load_optimizer(fresh, saved)
    loaded = fresh.state_dict()["state"]
    assert loaded[0]["exp_avg"].dtype == torch.float64
    assert torch.equal(loaded[0]["exp_avg"], wide)
    assert loaded[1]["exp_avg"].dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("adm", {}, "did you mean 'Adam'?"),
        ("SGD", {"momentm": 0.9}, "Unknown argument of SGD 'momentm'; did you mean 'momentum'?"),
        ("SGD", {"momentum": -1.0}, "SGD(momentum=-1.0) cannot train this model: Invalid momentum"),
        ("SGD", {"momentum": {1}}, "must have plain values"),
        ("Muon", {}, "Muon only supports 2D parameters"),
        ("SparseAdam", {}, "SparseAdam does not support dense gradients"),
        ("brought:Halvng", {}, "did you mean 'Halving'?"),
        ("brought:Halving", {"factr": 1}, "did you mean 'factor'?"),
        ("brought:tiny", {}, "An optimizer must take lr, but brought:tiny takes"),
        ("nowhere:Halving", {}, "No module named 'nowhere'"),
        ("__main__:Halving", {}, "must be in a module that workers can import"),
    ],
)
def test_an_optimizer_that_cannot_be_is_refused(
    name: str, args: dict[str, Any], message: str
) -> None:
    """With the nearest right name, or torch's reason, in one line."""
    with pytest.raises(ConfigError) as caught:
        find_optimizer(name, args).check()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optimizer_that_refuses_convolutions_trains_a_network_without_them(
    small: Callable[..., TrainConfig], store: StageStore, tmp_path: Path
) -> None:
    """Muon takes matrices alone; a network that has others is refused with torch's reason."""
    config = small(optimizer="Muon", lr=0.02, model="brought:matrices", epochs=1, limit=20)
    assert math.isfinite(train_stage(config, 1, store, tmp_path).result.train_loss)
    with pytest.raises(ConfigError, match="Muon only supports 2D parameters"):
        train_stage(replace(config, model="brought:tiny"), 1, store, tmp_path)


@pytest.mark.parametrize("name", ["schedulefree:AdamWScheduleFree", "pytorch_optimizer:Lion"])
def test_a_brought_optimizer_is_taken_up_to_the_bit(
    name: str, small: Callable[..., TrainConfig], store: StageStore, tmp_path: Path
) -> None:
    """Each epoch in a training of its own equals all of them in one, modes of its own included."""
    config = small(optimizer=name, model="brought:tiny", lr=0.01, limit=40, batch_size=16)
    one_by_one = [train_stage(config, epoch, store, tmp_path).result for epoch in (1, 2, 3)]
    straight = train_stage(config, 3, StageStore(tmp_path / "other"), tmp_path).result
    assert straight.state_digest == one_by_one[-1].state_digest
    assert straight.val_loss == one_by_one[-1].val_loss


def test_the_weights_of_schedulefree_are_those_of_its_eval_mode(
    small: Callable[..., TrainConfig], store: StageStore, tmp_path: Path
) -> None:
    """They are validated and stored in it; in training mode they are other ones."""
    config = small(
        optimizer="schedulefree:SGDScheduleFree", model="brought:tiny", epochs=1, batch_size=8
    )
    train_stage(config, 1, store, tmp_path)
    stages = plan(Recipe(config, data_of(config, tmp_path)))
    state = store.state(stages[1].key)
    assert state is not None
    assert state["optimizer"]["param_groups"][0]["train_mode"] is False
    training = Training(Recipe(config, data_of(config, tmp_path)))
    training.load_state_dict(state)
    set_mode(training._optimizer, "train")
    other = training.state_dict()["model"]
    assert not all(map(torch.equal, other.values(), state["model"].values()))
