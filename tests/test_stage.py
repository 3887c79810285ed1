import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import begin
from samples import changed

from trainer.data import load
from trainer.errors import DataError, PlatformMismatch
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.stages.plan import Stage, plan
from trainer.stages.stage import train_stage, worker_name
from trainer.stages.store import StageStore
from trainer.training.model import build_model
from trainer.training.recipe import Recipe
from trainer.training.state import digest
from trainer.training.trainable import epoch_seed

Small = Callable[..., TrainConfig]
NOWHERE = Path("/nonexistent")
"""The folder of prepared data sets; an .npz is read where it lies."""


def stages(config: TrainConfig) -> tuple[Stage, ...]:
    """The plan of a config."""
    return plan(Recipe(config, load(config.dataset, config.split, config.limit, NOWHERE)))


def train(config: TrainConfig, store: StageStore, trained_for: str = "") -> list[EpochResult]:
    """The results of all its epochs, asked for one after the other."""
    return [
        train_stage(config, epoch, store, NOWHERE, trained_for=trained_for).result
        for epoch in range(1, config.epochs + 1)
    ]


def digests(results: list[EpochResult]) -> list[str]:
    """Of the states after each epoch."""
    return [result.state_digest for result in results]


def numbers(results: list[EpochResult]) -> list[EpochResult]:
    """The results without what may differ: time, place and whom they were trained for."""
    same = {"epoch_seconds": 0.0, "images_per_second": 0.0, "ended_at": 0.0}
    return [changed(result, **same, trained_for="", worker="") for result in results]


def without_states(store: StageStore) -> None:
    """Evict every state; results stay."""
    store.budget = 0
    store.evict(keep=())


def print_last_digest(config: TrainConfig, store: StageStore) -> None:
    """Train the last epoch of a config and print the digest after it."""
    print(train_stage(config, config.epochs, store, NOWHERE).result.state_digest)


def test_fresh_processes_give_the_same_bits_straight_through_or_resumed(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """One process trains three epochs, another continues from the first; both end as this one."""
    config = small(optimizer="Adam", lr=0.001, step_size=2, gamma=0.5)
    straight = begin(
        tmp_path / "straight", print_last_digest, config, StageStore(tmp_path / "other")
    )
    train_stage(config, 1, store, NOWHERE)
    resumed = begin(tmp_path / "resumed", print_last_digest, config, store)
    expected = train(config, StageStore(tmp_path / "here"))[-1].state_digest
    for process, output in ((straight, "straight"), (resumed, "resumed")):
        process.join()
        assert (tmp_path / output).read_text().strip() == expected
    stored = [store.result(stage.result_key) for stage in stages(config)[1:]]
    assert [result.worker == worker_name() for result in stored if result] == [True, False, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer_args": {"momentum": 0.9}},
        {"optimizer": "Adam", "lr": 0.001},
        {"optimizer": "ASGD"},
        {"optimizer": "Rprop", "lr": 0.001},
        {"optimizer": "NAdam", "lr": 0.001},
        {"batch_size": 7, "shuffle": False},
    ],
    ids=str,
)
def test_stopped_and_resumed_equals_straight_through(
    changes: dict[str, object], small: Small, store: StageStore, tmp_path: Path
) -> None:
    """Epoch by epoch from the stored states, or all three in one go: the same results."""
    config = small(step_size=1, gamma=0.5, limit=50, **changes)
    straight = StageStore(tmp_path / "straight")
    last = train_stage(config, 3, straight, NOWHERE)
    stored = [straight.result(stage.result_key) for stage in stages(config)[1:]]
    one_by_one = train(config, store)
    assert numbers(one_by_one) == numbers([result for result in stored if result])
    assert numbers([last.result]) == numbers(one_by_one[2:])
    assert last.retrained == 0


def test_what_is_stored_is_not_trained_again(small: Small, store: StageStore) -> None:
    """The second time, results are equal to the last field: whom, where, when."""
    first = train(small(), store, trained_for="first")
    assert train(small(), store, trained_for="second") == first
    assert {result.trained_for for result in first} == {"first"}


def test_a_shared_prefix_equals_training_from_scratch(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """A run that takes up another's first epochs gives what it gives alone."""
    train(small(epochs=4, step_size=2), store, trained_for="other")
    config = small(epochs=4, step_size=3)
    shared = train(config, store, trained_for="own")
    alone = train(config, StageStore(tmp_path / "alone"), trained_for="own")
    assert [result.trained_for for result in shared] == ["other", "other", "own", "own"]
    assert numbers(shared) == numbers(alone)


def test_neither_the_callers_randomness_nor_its_threads_reach_the_numbers(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """Whatever ran in the process before, an epoch is a function of its config."""
    expected = digests(train(small(), store))
    torch.manual_seed(1234)
    np.random.seed(5)
    torch.set_num_threads(2)
    assert digests(train(small(), StageStore(tmp_path / "again"))) == expected
    assert torch.get_num_threads() == 1


def test_evicted_states_are_trained_again_to_the_same_bits(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """An epoch whose state is asked for, and those before it, count as passed again."""
    config = small()
    before = train(config, store)
    without_states(store)
    again = train_stage(config, 3, store, NOWHERE, with_state=True)
    assert (again.result, again.retrained, again.notes) == (before[2], 3, ())
    assert store.has_state(stages(config)[3].key)
    longer = small(epochs=5)
    without_states(store)
    further = train_stage(longer, 4, store, NOWHERE)
    assert (further.retrained, further.notes) == (3, ())
    assert numbers([further.result]) == numbers(train(longer, StageStore(tmp_path / "b")))[3:4]


def test_a_wiped_store_costs_time_and_never_a_number(small: Small, store: StageStore) -> None:
    """With the results gone as well, all is trained once more and comes out the same."""
    before = train(small(), store)
    shutil.rmtree(store.url)
    again = train_stage(small(), 3, store, NOWHERE)
    assert again.retrained == 0
    assert numbers([again.result]) == numbers(before[2:])
    assert numbers(train(small(), store)) == numbers(before)


def test_training_starts_from_the_nearest_stored_state(small: Small, store: StageStore) -> None:
    """With every second state kept, one epoch is passed again to get at the next."""
    config = small(epochs=5)
    before = train(config, store)
    keys = [stage.key for stage in stages(config)]
    store.budget = 0
    store.evict(keep={keys[2]})
    again = train_stage(config, 4, store, NOWHERE, with_state=True)
    assert (again.result, again.retrained) == (before[3], 2)
    assert [store.has_state(key) for key in keys] == [False, False, True, True, True, False]


def test_a_damaged_state_is_noted_and_trained_again(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """The epoch after it comes out as if nothing had happened."""
    config = small()
    train_stage(config, 2, store, NOWHERE)
    path = Path(store.url) / "states" / f"{stages(config)[2].key}.pt"
    blob = bytearray(path.read_bytes())
    blob[1000] ^= 1
    path.write_bytes(blob)
    trained = train_stage(config, 3, store, NOWHERE)
    (note,) = trained.notes
    assert f"{path} was damaged" in note
    assert trained.retrained == 1
    alone = train_stage(config, 3, StageStore(tmp_path / "alone"), NOWHERE)
    assert numbers([trained.result]) == numbers([alone.result])


def test_other_bits_than_recorded_are_said_and_the_record_stands(
    small: Small, store: StageStore
) -> None:
    """A number that was reported never changes, but nobody is left to think it was repeated."""
    config = small()
    before = train(config, store)
    wrong = changed(before[0], state_digest="0" * 64, val_loss=1.5, worker="elsewhere:7")
    store.put_result(stages(config)[1].result_key, wrong)
    without_states(store)
    again = train_stage(config, 2, store, NOWHERE, with_state=True)
    assert again.notes == (
        f"Epoch 1 trained again on {worker_name()} did not give the bits that elsewhere:7 "
        "recorded; the recorded numbers stand.",
    )
    assert again.result == before[1]
    assert store.result(stages(config)[1].result_key) == wrong
    assert train_stage(config, 1, store, NOWHERE, with_state=True).result == wrong


def test_a_machine_that_would_give_other_numbers_refuses(small: Small, store: StageStore) -> None:
    """Nothing is trained under a key that is not this machine's; the right one is accepted."""
    config = small()
    with pytest.raises(PlatformMismatch, match="must be a machine like the one that asks"):
        train_stage(config, 1, store, NOWHERE, expect=stages(small(seed=1))[1].result_key)
    assert not Path(store.url).exists()
    expect = stages(config)[1].result_key
    assert train_stage(config, 1, store, NOWHERE, expect=expect).result.epoch == 1


def test_a_missing_state_is_restored_when_it_is_asked_for(small: Small, store: StageStore) -> None:
    """A checkpoint can be made of any epoch that was ever trained."""
    config, keys = small(), [stage.key for stage in stages(small())]
    (first, *_) = train(config, store)
    kept = store.state(keys[1])
    without_states(store)
    assert train_stage(config, 1, store, NOWHERE).retrained == 0
    assert not store.has_state(keys[1])
    restored = train_stage(config, 1, store, NOWHERE, with_state=True)
    assert (restored.result, restored.retrained) == (first, 1)
    state = store.state(keys[1])
    assert state is not None
    assert kept is not None
    assert digest(state) == digest(kept) == first.state_digest


def test_a_state_is_the_model_and_the_optimizer_and_nothing_else(
    small: Small, store: StageStore
) -> None:
    """Random states and schedulers are recomputed, so none is stored; the weights load strictly."""
    train_stage(small(), 1, store, NOWHERE)
    state = store.state(stages(small())[1].key)
    assert state is not None
    assert sorted(state) == ["model", "optimizer"]
    model = build_model("tutorial", {}, 0, 10, 3)
    model.load_state_dict(state["model"])


def test_a_result_says_what_when_and_where(small: Small, store: StageStore) -> None:
    """The rate in force, the speed without validation, the process, and the moment."""
    config = small(lr=0.02, step_size=1, gamma=0.5, limit=50)
    began = time.time()
    results = train(config, store, trained_for="run")
    assert [result.epoch for result in results] == [1, 2, 3]
    assert [result.values["lr"] for result in results] == [0.02, 0.01, 0.005]
    for result in results:
        assert began <= result.ended_at <= time.time()
        assert result.values["images_per_second"] == 50 / result.epoch_seconds
        assert result.worker == worker_name()
        assert result.worker.endswith(f":{os.getpid()}")
        assert result.trained_for == "run"


def test_data_that_is_not_prepared_is_an_error(small: Small, store: StageStore) -> None:
    """Workers prepare nothing."""
    with pytest.raises(DataError, match="must be prepared"):
        train_stage(small(dataset="digits"), 1, store, NOWHERE)


def test_every_epoch_of_every_seed_draws_from_its_own_seed() -> None:
    """63 bits of SHA-256 of "seed epoch", so that no pair meets another's."""
    seeds = {epoch_seed(seed, epoch) for seed in range(50) for epoch in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_model_with_dropout_and_batch_norm_is_taken_up_to_the_bit(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """What is drawn in an epoch is seeded, and what is averaged over batches is in the state."""
    config = small(model="brought:noisy", batch_size=16, normalize=True, augment="crop,flip")
    one_by_one = train(config, store)
    straight = train_stage(config, 3, StageStore(tmp_path / "other"), NOWHERE).result
    assert straight.state_digest == one_by_one[-1].state_digest
    assert straight.val_loss == one_by_one[-1].val_loss


def test_a_schedule_that_looks_at_results_is_followed_wherever_they_are(
    small: Small, store: StageStore, tmp_path: Path
) -> None:
    """From stored results, or from none at all; one and the same epoch either way."""
    config = small(scheduler="ReduceLROnPlateau", epochs=5, lr=0.3).override(
        {"scheduler.patience": 0, "scheduler.threshold": 0.5}
    )
    one_by_one = train(config, store)
    assert len({result.values["lr"] for result in one_by_one}) > 1
    straight = train_stage(config, 5, StageStore(tmp_path / "other"), NOWHERE).result
    assert numbers([straight]) == numbers(one_by_one[-1:])
    without_states(store)
    again = train_stage(config, 5, store, NOWHERE, with_state=True)
    assert again.result == one_by_one[-1]
    assert again.retrained == 5
    assert not again.notes


def test_what_users_bring_is_part_of_the_key(small: Small) -> None:
    """Model, its arguments, loss, normalisation, augmentation: each makes another run of it."""
    changes: list[dict[str, object]] = [
        {},
        {"model": "brought:noisy"},
        {"model": "brought:noisy", "model_args": {"dropout": 0.1}},
        {"loss": "brought:smooth"},
        {"normalize": True},
        {"augment": "flip"},
        {"deterministic": False},
        {"unshared": "study/1"},
        {"scheduler_interval": "batch", "scheduler": "ExponentialLR"},
    ]
    keys = {stages(small(**change))[1].key for change in changes}
    assert len(keys) == len(changes)
