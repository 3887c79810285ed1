import torch
from examples import network

from trainer.model import SIDE, build_model


def test_it_has_the_tutorials_layers_and_no_others() -> None:
    """145,578 parameters in five layers, and what each layer gives for a batch of 64."""
    model = build_model(0, 10, 3)
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
    plain, ours = network(), build_model(42, 10, 3)
    for expected, got in zip(plain.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, got)
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(plain(images), ours(images))


def test_another_seed_gives_other_weights() -> None:
    """The seed reaches every layer."""
    one, two = build_model(1, 10, 3), build_model(2, 10, 3)
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert not torch.equal(first, second)


def test_building_a_model_draws_nothing_from_the_callers_randomness() -> None:
    """What the caller draws next is what it would have drawn anyway."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build_model(0, 10, 3)
    assert torch.equal(torch.rand(3), expected)


def test_classes_and_channels_follow_the_data() -> None:
    """Grey images of four classes are as good."""
    assert build_model(0, 4, 1)(torch.ones(2, 1, SIDE, SIDE)).shape == (2, 4)
