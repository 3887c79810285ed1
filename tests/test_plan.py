import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import npz

from trainer.data import Data, load
from trainer.errors import DataError
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Stage, plan
from trainer.training.recipe import Recipe
from trainer.training.state import digest

Small = Callable[..., TrainConfig]


def data_of(config: TrainConfig) -> Data:
    """The data a config trains on."""
    return load(config.dataset, config.split, config.limit, Path())


def stages(config: TrainConfig) -> tuple[Stage, ...]:
    """The plan of a config for its own data."""
    return plan(Recipe(config, data_of(config)))


def keys(config: TrainConfig) -> list[str]:
    """The state keys of a config's stages 0, 1, ..."""
    return [stage.key for stage in stages(config)]


def test_there_is_a_stage_an_epoch_and_one_for_the_initial_state(small: Small) -> None:
    """Stages are counted like epochs, from 1, and all their keys differ."""
    made = stages(small(epochs=4))
    assert [stage.epoch for stage in made] == [0, 1, 2, 3, 4]
    assert made[0].rates.scalars == {}
    assert len({key for stage in made for key in (stage.key, stage.result_key)}) == 10


def test_the_same_config_has_the_same_keys(small: Small) -> None:
    """Made twice, or read from JSON, or with arguments in another order: one set of keys."""
    args = {"betas": [0.9, 0.99], "weight_decay": 0.1}
    config = small(optimizer="Adam", optimizer_args=args)
    assert keys(config) == keys(TrainConfig.from_json(config.to_json()))
    turned = {"weight_decay": 0.1, "betas": (0.9, 0.99)}
    assert keys(config) == keys(small(optimizer="Adam", optimizer_args=turned))
    assert keys(small(lr=1)) == keys(small(lr=1.0))


def test_saying_what_is_the_default_anyway_changes_no_key(small: Small) -> None:
    """It is the same run; only an argument that says another thing makes it another."""
    plain = keys(small(optimizer="Adam"))
    for args in (
        {"betas": [0.9, 0.999]},
        {"betas": (0.9, 0.999), "weight_decay": 0},
        {"amsgrad": False, "fused": None, "foreach": None},
    ):
        assert keys(small(optimizer="Adam", optimizer_args=args)) == plain
    assert keys(small(optimizer="Adam", optimizer_args={"foreach": False})) != plain
    assert keys(small(optimizer_args={"momentum": 0.0})) == keys(small())


@pytest.mark.parametrize("gammas", [(0.1, 0.1), (0.1, 0.9), (1 / 3, 0.5)])
def test_step_sizes_of_5_and_10_share_their_first_five_epochs(
    small: Small, gammas: tuple[float, float]
) -> None:
    """Neither step_size nor gamma is in the key; the rates that they lead to are."""
    five = keys(small(epochs=12, step_size=5, gamma=gammas[0]))
    ten = keys(small(epochs=12, step_size=10, gamma=gammas[1]))
    assert five[:6] == ten[:6]
    assert not set(five[6:]) & set(ten)


def test_a_step_size_of_all_epochs_or_more_makes_gamma_inert(small: Small) -> None:
    """Where the rate never decays, it does not matter by what it would."""
    plans = {tuple(keys(small(step_size=s, gamma=g))) for s in (3, 4, 9) for g in (0.1, 0.5, 1.0)}
    assert len(plans) == 1
    assert plans == {tuple(keys(small(step_size=1, gamma=1.0)))}


def test_more_epochs_go_on_where_fewer_end(small: Small) -> None:
    """A run of 20 epochs becomes one of 40 by training 20."""
    assert keys(small(epochs=8, step_size=3))[:5] == keys(small(epochs=4, step_size=3))


def test_what_was_before_is_in_every_later_key(small: Small) -> None:
    """Runs that differed once share nothing after, though their rates may agree again."""
    one = keys(small(epochs=4, lr=0.1, step_size=2, gamma=0.1))
    other = keys(small(epochs=4, lr=0.01, step_size=4))
    assert one[0] == other[0]
    assert not set(one[1:]) & set(other[1:])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 32},
        {"optimizer": "Adam"},
        {"optimizer_args": {"momentum": 0.9}},
        {"optimizer_args": {"fused": False}},
        {"limit": 50},
        {"split": "train", "limit": 90},
        {"shuffle": False},
        {"threads": 2},
        {"clip_grad_norm": 1.0},
    ],
)
def test_each_constant_of_a_run_is_in_its_first_key(small: Small, change: dict[str, Any]) -> None:
    """Runs that differ in one of them share no stage at all."""
    assert not set(keys(small())) & set(keys(small(**change)))


@dataclass(frozen=True, kw_only=True)
class Extended(TrainConfig):
    """A config with one more field."""

    further: int = 1


def test_a_new_field_is_in_the_key_without_a_further_line(small: Small) -> None:
    """Its default leaves existing keys valid; any other value trains for itself."""
    plain = small()
    values = {item.name: getattr(plain, item.name) for item in fields(plain)}
    assert keys(Extended(**values)) == keys(plain)
    assert not set(keys(Extended(**values, further=2))) & set(keys(plain))


def test_the_rate_and_the_number_of_epochs_are_not_in_the_first_key(small: Small) -> None:
    """All rates start from the same initial state."""
    changed = small(lr=0.5, epochs=9, step_size=2, gamma=0.3)
    assert keys(small())[0] == keys(changed)[0]


def test_validation_data_changes_only_the_keys_of_results(small: Small) -> None:
    """The state after an epoch does not depend on what it is validated on; its result does."""
    config = small()
    data = data_of(config)
    other = replace(data, val=replace(data.val, digest="another"))
    plans = (plan(Recipe(config, one)) for one in (data, other))
    for one, two in zip(*plans, strict=True):
        assert one.key == two.key
        assert one.result_key != two.result_key


def test_where_data_lies_and_what_it_is_called_is_not_in_the_key(
    small: Small, sample: Path, tmp_path: Path
) -> None:
    """A copy of the file elsewhere trains nothing again; one changed pixel trains everything."""
    copy, changed = tmp_path / "copy.npz", tmp_path / "changed.npz"
    copy.write_bytes(sample.read_bytes())
    assert keys(small()) == keys(small(dataset=str(copy)))
    arrays = dict(np.load(sample))
    arrays["test_images"][0, 0, 0, 0] ^= 1
    np.savez(changed, **arrays)
    assert not set(keys(small())) & set(keys(small(dataset=str(changed))))


def test_images_of_another_size_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """The tutorial's network takes 32 x 32 pixels and no others."""
    config = TrainConfig(dataset=npz(tmp_path / "tiny.npz"), device="cpu")
    with pytest.raises(DataError, match="takes images of 32 x 32, but those of tiny are 4 x 4"):
        stages(config)


def test_rates_of_a_stage_are_plain_json(small: Small) -> None:
    """They are hashed as JSON; a tensor among them would not be."""
    for name in ("SGD", "Adam", "ASGD", "Rprop", "Adafactor"):
        for stage in stages(small(optimizer=name)):
            assert json.loads(json.dumps(stage.rates.scalars)).keys() == stage.rates.scalars.keys()


def test_a_digest_sees_every_bit_type_shape_and_number() -> None:
    """Two states have one digest only if every tensor and number in them is the same."""
    ones = torch.ones(2, 3)
    state: dict[str, Any] = {"model": {"w": ones}, "optimizer": {"state": {0: {"step": 3.0}}}}
    nudged = ones.clone()
    nudged[1, 2] = torch.nextafter(nudged[1, 2], torch.tensor(2.0))
    others: list[dict[str, Any]] = [
        state | {"model": {"w": nudged}},
        state | {"model": {"w": ones.to(torch.float64)}},
        state | {"model": {"w": ones.reshape(3, 2)}},
        state | {"model": {"v": ones}},
        state | {"model": {"w": -0.0 * ones}},
        state | {"model": {"w": 0.0 * ones}},
        state | {"optimizer": {"state": {0: {"step": 4.0}}}},
        state | {"optimizer": {"state": {1: {"step": 3.0}}}},
    ]
    assert len({digest(item) for item in (state, *others)}) == 9


def test_a_digest_does_not_see_memory_layout_or_the_order_of_names() -> None:
    """Channels last or not, the values are the same."""
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    last = images.to(memory_format=torch.channels_last)
    assert digest({"a": images, "b": 1}) == digest({"b": 1, "a": last})
