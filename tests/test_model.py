from typing import Any

import pytest
import torch
from samples import network
from torch import nn

from trainer.errors import ConfigError
from trainer.training.model import SIDE, build_model, check_model


def test_it_has_the_tutorials_layers_and_no_others() -> None:
    """145,578 parameters in five layers, and what each layer gives for a batch of 64."""
    model = build_model("tutorial", {}, 0, 10, 3)
    assert sum(weight.numel() for weight in model.parameters()) == 145_578
    assert {name: tuple(weight.shape) for name, weight in model.named_parameters()} == {
        "model1.0.weight": (32, 3, 5, 5),
        "model1.0.bias": (32,),
        "model1.2.weight": (32, 32, 5, 5),
        "model1.2.bias": (32,),
        "model1.4.weight": (64, 32, 5, 5),
        "model1.4.bias": (64,),
        "model1.7.weight": (64, 1024),
        "model1.7.bias": (64,),
        "model1.8.weight": (10, 64),
        "model1.8.bias": (10,),
    }
    assert model(torch.ones(64, 3, SIDE, SIDE)).shape == (64, 10)


def test_a_seed_gives_the_weights_torch_gives_the_tutorial() -> None:
    """Equal to the bit, in every tensor and in the scores."""
    torch.manual_seed(42)
    plain, ours = network(), build_model("tutorial", {}, 42, 10, 3)
    for expected, got in zip(plain.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, got)
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(plain(images), ours(images))


def test_another_seed_gives_other_weights() -> None:
    """The seed reaches every layer."""
    one, two = build_model("tutorial", {}, 1, 10, 3), build_model("tutorial", {}, 2, 10, 3)
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert not torch.equal(first, second)


def test_building_a_model_draws_nothing_from_the_callers_randomness() -> None:
    """What the caller draws next is what it would have drawn anyway."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build_model("tutorial", {}, 0, 10, 3)
    assert torch.equal(torch.rand(3), expected)


def test_classes_and_channels_follow_the_data() -> None:
    """Grey images of four classes are as good."""
    assert build_model("tutorial", {}, 0, 4, 1)(torch.ones(2, 1, SIDE, SIDE)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("brought:tiny", {}),
        ("brought:noisy", {"width": 2, "dropout": 0.1}),
        ("brought:matrices", {}),
        ("brought:ready", {}),
        ("timm.models.resnet:resnet10t", {}),
        ("torchvision.models:squeezenet1_1", {}),
    ],
)
def test_a_users_function_is_called_with_what_it_takes(name: str, args: dict[str, Any]) -> None:
    """Classes and channels by place or by name, or neither; the seed gives the same weights."""
    one, two = (build_model(name, args, 1, 10, 3) for _ in range(2))
    assert one.eval()(torch.ones(2, 3, 32, 32)).shape == (2, 10)
    assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))
    other = build_model(name, args, 2, 10, 3)
    assert not all(map(torch.equal, one.parameters(), other.parameters()))


def test_arguments_of_a_model_reach_it() -> None:
    """By their names, beside the classes and channels."""
    model = build_model("brought:noisy", {"width": 7}, 0, 10, 1)
    assert isinstance(model, nn.Sequential)
    assert model[0].weight.shape == (7, 1, 3, 3)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("brought:tny", {}, "Unknown name in brought 'tny'; did you mean 'tiny'?"),
        ("nowhere:tiny", {}, "No module named 'nowhere'"),
        ("tutorial", {"width": 3}, "tutorial takes no arguments, but got model.width"),
    ],
)
def test_a_model_that_is_not_there_is_refused(
    name: str, args: dict[str, Any], message: str
) -> None:
    """Before anything is built."""
    with pytest.raises(ConfigError) as caught:
        check_model(name, args)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("brought:noisy", {"widht": 3}, "unexpected keyword argument 'widht'"),
        ("brought:smooth", {}, "for 10 classes and 3 channels, but: "),
        ("brought:nothing", {}, "must give a torch.nn.Module with parameters, but gave a NoneType"),
    ],
)
def test_a_function_that_gives_no_network_is_an_error(
    name: str, args: dict[str, Any], message: str
) -> None:
    """It says what was asked of the function and what came of it."""
    with pytest.raises(ConfigError) as caught:
        build_model(name, args, 0, 10, 3)
    assert message in str(caught.value)
