"""The epoch against plain torch: loops written here, without any of our code.

`plain_run` repeats what the design promises and nothing else: the tutorial's layers, the seed's
initial weights, a channels-last model, torch's fused optimizer, torch's StepLR stepped once an
epoch, one thread, and an order drawn from SHA-256 of "seed epoch".
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from machine import DEVICE
from samples import network
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from trainer.data import load
from trainer.errors import ConfigError
from trainer.metrics import EpochResult
from trainer.settings.config import TrainConfig
from trainer.stages.plan import plan
from trainer.stages.stage import train_stage
from trainer.stages.store import StageStore
from trainer.training.check import check_train
from trainer.training.device import set_determinism
from trainer.training.epoch import VALIDATION_BATCH, Resident, train_epoch, validate
from trainer.training.loop import Training
from trainer.training.recipe import Recipe

SEED, BATCH, LR, STEP_SIZE, GAMMA = 3, 16, 0.01, 2, 0.3
TRAIN, VAL = 100, 20


@dataclass
class Plain:
    """What a plain loop gave: the numbers of each epoch, weights and optimizer at the end."""

    running_loss: list[float]
    train_loss: list[float]
    val_loss: list[float]
    val_accuracy: list[float]
    lr: list[float]
    weights: list[torch.Tensor]
    optimizer: dict[int, dict[str, Any]]


def seed_of(epoch: int) -> int:
    """63 bits of SHA-256 of "seed epoch"."""
    return int(hashlib.sha256(f"{SEED} {epoch}".encode()).hexdigest()[:16], 16) // 2


def plain_run(
    sample: Path,
    epochs: int,
    make: Callable[..., torch.optim.Optimizer],
    clip: Callable[[nn.Module], object] = lambda model: None,
    smoothing: float = 0.0,
    accumulate: int = 1,
    decay: float | None = None,
) -> Plain:
    """Train so many epochs on the first test images, as anyone would write it."""
    set_determinism(DEVICE, 1)
    arrays = np.load(sample)

    def on_device(name: str, count: int) -> torch.Tensor:
        return torch.tensor(arrays[name][:count]).to(DEVICE)

    images = on_device("test_images", TRAIN).permute(0, 3, 1, 2).float() / 255
    labels = on_device("test_labels", TRAIN).long()
    val_images = on_device("train_images", VAL).permute(0, 3, 1, 2).float() / 255
    val_labels = on_device("train_labels", VAL).long()

    torch.manual_seed(SEED)
    model = network().to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make(model.parameters(), lr=LR)
    average = get_ema_multi_avg_fn(decay) if decay is not None else None
    evaluated = model if average is None else AveragedModel(model, None, None, average, True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, STEP_SIZE, GAMMA)
    run = Plain([], [], [], [], [], [], {})
    for epoch in range(1, epochs + 1):
        torch.manual_seed(seed_of(epoch))
        generator = torch.Generator().manual_seed(seed_of(epoch))
        order = torch.randperm(TRAIN, generator=generator).to(DEVICE)
        losses, sizes = [], []
        for group in order.split(BATCH * accumulate):
            optimizer.zero_grad()
            for batch in group.split(BATCH):
                scores = model(images[batch])
                loss = F.cross_entropy(scores, labels[batch], label_smoothing=smoothing)
                (loss * (len(batch) / len(group))).backward()
                losses.append(loss.item())
                sizes.append(len(batch))
            clip(model)
            optimizer.step()
            if average is not None:
                evaluated.update_parameters(model)
        with torch.no_grad():
            scores = evaluated(val_images)
        run.running_loss.append(sum(losses))
        run.train_loss.append(sum(n * x for n, x in zip(sizes, losses, strict=True)) / TRAIN)
        run.val_loss.append(F.cross_entropy(scores, val_labels, reduction="sum").item() / VAL)
        run.val_accuracy.append((scores.argmax(1) == val_labels).sum().item() / VAL)
        run.lr.append(scheduler.get_last_lr()[0])
        scheduler.step()
    run.weights = list(model.parameters())
    run.optimizer = optimizer.state_dict()["state"]
    return run


OPTIMIZERS = {
    "SGD": {"momentum": 0.9},
    "Adam": {},
    "AdamW": {"weight_decay": 0.1},
    "RMSprop": {},
    "Adagrad": {},
}
FUSED = ["SGD", "Adam", "AdamW"]  # torch has no fused RMSprop, and Adagrad on the CPU alone
FUSED += ["Adagrad"] if DEVICE == "cpu" else []


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_epoch_equals_a_plain_torch_loop_bit_for_bit(
    name: str,
    epochs: int,
    small: Callable[..., TrainConfig],
    sample: Path,
    store: StageStore,
    tmp_path: Path,
) -> None:
    """Weights, optimizer state and every metric, after one epoch and after three under StepLR."""
    args: dict[str, Any] = OPTIMIZERS[name]
    fused = {"fused": True} if name in FUSED else {}
    run = plain_run(
        sample,
        epochs,
        lambda weights, lr: getattr(torch.optim, name)(weights, lr=lr, **args, **fused),
    )
    config = small(
        optimizer=name,
        optimizer_args=args,
        lr=LR,
        step_size=STEP_SIZE,
        gamma=GAMMA,
        epochs=epochs,
        batch_size=BATCH,
        seed=SEED,
        limit=TRAIN,
    )
    for epoch in range(1, epochs + 1):
        result: EpochResult = train_stage(config, epoch, store, tmp_path).result
        for metric in ("running_loss", "train_loss", "val_loss", "val_accuracy", "lr"):
            assert result.values[metric] == getattr(run, metric)[epoch - 1], (metric, epoch)

    data = load(config.dataset, config.split, config.limit, tmp_path)
    state = store.state(plan(Recipe(config, data))[epochs].key)
    assert state is not None
    for expected, got in zip(run.weights, state["model"].values(), strict=True):
        assert torch.equal(expected.cpu(), got.cpu())
    optimizer = state["optimizer"]["state"]
    assert optimizer.keys() == run.optimizer.keys()
    for index, values in run.optimizer.items():
        assert optimizer[index].keys() == values.keys()
        for entry, value in values.items():
            got = optimizer[index][entry]
            if value is None:
                assert got is None
            else:
                assert torch.equal(torch.as_tensor(value).cpu(), torch.as_tensor(got).cpu()), entry


def test_clipped_gradients_are_those_of_a_plain_torch_loop(
    small: Callable[..., TrainConfig], sample: Path, store: StageStore, tmp_path: Path
) -> None:
    """Bit for bit, where a loop calls `clip_grad_norm_` before each step; and it takes effect."""
    config = small(
        lr=LR, epochs=2, batch_size=BATCH, seed=SEED, limit=TRAIN, step_size=STEP_SIZE, gamma=GAMMA
    )
    clipped = replace(config, clip_grad_norm=0.01)
    run = plain_run(
        sample,
        2,
        lambda weights, lr: torch.optim.SGD(weights, lr=lr, fused=True),
        lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.01),
    )
    ours = [train_stage(clipped, epoch, store, tmp_path).result for epoch in (1, 2)]
    assert [it.train_loss for it in ours] == run.train_loss
    assert [it.val_loss for it in ours] == run.val_loss
    assert train_stage(config, 1, store, tmp_path).result.val_loss != run.val_loss[0]


@pytest.mark.parametrize("accumulate", [2, 3, 100])
@pytest.mark.parametrize("clip", [None, 0.01])
def test_accumulated_gradients_are_those_of_a_plain_torch_loop(
    accumulate: int,
    clip: float | None,
    small: Callable[..., TrainConfig],
    sample: Path,
    store: StageStore,
    tmp_path: Path,
) -> None:
    """Bit for bit; they are clipped as a whole, and the last step of an epoch has fewer batches."""
    config = small(
        lr=LR, epochs=2, batch_size=BATCH, seed=SEED, limit=TRAIN, step_size=STEP_SIZE, gamma=GAMMA
    )
    config = replace(config, accumulate=accumulate, clip_grad_norm=clip)
    run = plain_run(
        sample,
        2,
        partial(torch.optim.SGD, fused=True),
        lambda model: clip and nn.utils.clip_grad_norm_(model.parameters(), clip),
        accumulate=accumulate,
    )
    ours = [train_stage(config, epoch, store, tmp_path).result for epoch in (1, 2)]
    assert [it.train_loss for it in ours] == run.train_loss
    assert [it.val_loss for it in ours] == run.val_loss


@pytest.mark.parametrize(("optimizer", "args"), [("SGD", {}), ("LBFGS", {"max_iter": 3})])
def test_accumulated_batches_are_one_large_batch_up_to_rounding(
    optimizer: str,
    args: dict[str, Any],
    small: Callable[..., TrainConfig],
    store: StageStore,
    tmp_path: Path,
) -> None:
    """Batches of unequal size, too; a scheduler by batch then counts as many steps."""
    large = small(
        optimizer=optimizer,
        optimizer_args=args,
        lr=LR,
        epochs=2,
        batch_size=40,
        limit=TRAIN,
        scheduler="ExponentialLR",
        gamma=0.5,
        scheduler_interval="batch",
    )
    parts = replace(large, batch_size=8, accumulate=5)
    for epoch in (1, 2):
        one, other = (train_stage(it, epoch, store, tmp_path).result for it in (large, parts))
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-4)
        assert other.values["lr"] == one.values["lr"]


def test_averaged_weights_are_those_of_a_plain_torch_loop(
    small: Callable[..., TrainConfig], sample: Path, store: StageStore, tmp_path: Path
) -> None:
    """Bit for bit, epoch by epoch from the stored state; they are validated and kept."""
    config = small(
        lr=LR, epochs=3, batch_size=BATCH, seed=SEED, limit=TRAIN, step_size=STEP_SIZE, gamma=GAMMA
    )
    averaged = replace(config, ema_decay=0.9)
    run = plain_run(sample, 3, partial(torch.optim.SGD, fused=True), decay=0.9)
    ours = [train_stage(averaged, epoch, store, tmp_path).result for epoch in (1, 2, 3)]
    assert [it.train_loss for it in ours] == run.train_loss
    assert [it.val_loss for it in ours] == run.val_loss
    data = load(config.dataset, config.split, config.limit, tmp_path)
    state = store.state(plan(Recipe(averaged, data))[3].key)
    assert state is not None
    assert all(map(torch.equal, state["trained"].values(), (it.cpu() for it in run.weights)))
    training = Training(Recipe(averaged, data))
    training.load_weights(state["model"])
    assert training.validate()[0] == run.val_loss[-1]


@pytest.mark.parametrize("loss", ["cross_entropy", "torch.nn:CrossEntropyLoss"])
def test_smoothed_labels_are_those_of_a_plain_torch_loop(
    loss: str, small: Callable[..., TrainConfig], sample: Path, store: StageStore, tmp_path: Path
) -> None:
    """Bit for bit in training; validation has none, so that trials can be compared by it."""
    config = small(
        lr=LR, epochs=2, batch_size=BATCH, seed=SEED, limit=TRAIN, step_size=STEP_SIZE, gamma=GAMMA
    )
    smoothed = replace(config, loss=loss, loss_args={"label_smoothing": 0.1})
    make = partial(torch.optim.SGD, fused=True)
    run = plain_run(sample, 2, make, smoothing=0.1)
    ours = [train_stage(smoothed, epoch, store, tmp_path).result for epoch in (1, 2)]
    assert [it.train_loss for it in ours] == run.train_loss
    assert [it.val_loss for it in ours] == pytest.approx(run.val_loss, rel=1e-6)
    assert train_stage(config, 1, store, tmp_path).result.train_loss != run.train_loss[0]


@pytest.mark.parametrize(
    ("loss", "args", "message"),
    [
        ("cross_entropy", {"label_smoothin": 0.1}, "did you mean 'label_smoothing'?"),
        ("cross_entropy", {"reduction": "sum"}, "Unknown argument of loss cross_entropy"),
        ("cross_entropy", {"label_smoothing": 2}, "must be between 0.0 and 1.0. Got: 2"),
        ("cross_entropy", {"weight": [1.0, 2.0]}, "loss cross_entropy(weight=[1.0, 2.0]) must"),
        ("torch.nn:SmoothL1Loss", {"bet": 0.1}, "did you mean 'beta'?"),
        ("torch.nn:CrossEntropyLoss", {"reduction": "sum"}, "Choices: ignore_index"),
        ("brought:smooth", {"any": 1}, "Unknown argument of loss brought:smooth 'any'"),
    ],
)
def test_what_a_loss_does_not_take_is_one_line(
    loss: str, args: dict[str, Any], message: str, small: Callable[..., TrainConfig]
) -> None:
    """Before anything is trained, with the names that it takes."""
    with pytest.raises(ConfigError) as caught:
        check_train(small(loss=loss, loss_args=args))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_epoch_comes_close_to_the_tutorials_own_form(
    small: Callable[..., TrainConfig], sample: Path, store: StageStore, tmp_path: Path
) -> None:
    """A DataLoader of one image a batch, contiguous, not fused: the losses agree to 1 in 1,000.

    The arithmetic is the same but not its order, so the last bits of each step differ, and with
    them all that follows. After 200 steps that came to 1e-8 of the sum with AVX-512 kernels, and to
    3e-5 with those for AVX2.
    """
    torch.set_num_threads(1)
    arrays = np.load(sample)
    count = 50
    images = torch.tensor(arrays["test_images"][:count]).permute(0, 3, 1, 2).contiguous() / 255
    dataset = TensorDataset(images, torch.tensor(arrays["test_labels"][:count]).long())
    torch.manual_seed(SEED)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=False, foreach=False)
    sums = []
    for _ in range(2):
        running_loss = 0.0
        for inputs, targets in DataLoader(dataset, batch_size=1):
            loss = nn.CrossEntropyLoss()(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running_loss = running_loss + loss.item()
        sums.append(running_loss)

    config = small(lr=0.01, batch_size=1, shuffle=False, seed=SEED, epochs=2, limit=count)
    ours = [train_stage(config, epoch, store, tmp_path).result for epoch in (1, 2)]
    assert [result.values["running_loss"] for result in ours] == pytest.approx(sums, rel=1e-3)


class Guess(nn.Module):
    """Takes every image for class 1, shifted by one weight; remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))
        self.trained: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of three classes for each image."""
        self.trained.append(self.training)
        scores = torch.tensor([0.0, 1.0, 0.0]) + self.shift * torch.tensor([1.0, 0.0, 0.0])
        return scores.expand(len(images), 3)


def loss_of(*labels: int) -> float:
    """The mean loss of the untouched guess over images of these classes."""
    scores = torch.tensor([[0.0, 1.0, 0.0]] * len(labels))
    return F.cross_entropy(scores, torch.tensor(labels)).item()


def resident(count: int) -> Resident:
    """Images in which every byte of image i is i, labels 0, 1, 2, 0, ..."""
    numbers = torch.arange(count, dtype=torch.uint8)
    images = numbers.reshape(-1, 1, 1, 1).expand(count, 2, 4, 3).contiguous()
    return Resident(images=images, labels=torch.arange(count) % 3)


def test_batches_hold_every_image_once_in_the_order_given() -> None:
    """Scaled to 0 to 1, channels first by name and last in memory; the last batch is smaller."""
    order = torch.tensor([4, 0, 3, 1, 2])
    batches = list(resident(5).batches(order, 2))
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert torch.cat([labels for _, labels in batches]).tolist() == [1, 0, 0, 1, 2]
    pixels = torch.cat([images for images, _ in batches])
    assert pixels.shape == (5, 3, 2, 4)
    assert torch.equal(pixels[:, 0, 0, 0], order / 255)
    for images, _ in batches:
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_without_an_order_the_images_come_as_they_lie() -> None:
    """The same batches as with the order 0, 1, 2, ...; and the images are left as they are."""
    data = resident(5)
    before = data.images.clone()
    for one, two in zip(data.batches(None, 2), data.batches(torch.arange(5), 2), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("order", [None, torch.arange(5)])
def test_a_model_that_works_in_place_changes_no_later_epoch(order: torch.Tensor | None) -> None:
    """Each batch is its own, of inputs that are no images too."""
    data = Resident(images=torch.ones(5, 3), labels=torch.zeros(5, 1))
    for inputs, targets in data.batches(order, 2):
        inputs.sub_(2)
        targets.add_(1)
    assert torch.equal(data.images, torch.ones(5, 3))
    assert torch.equal(data.labels, torch.zeros(5, 1))


def test_an_epoch_steps_once_a_batch_in_training_mode() -> None:
    """Three batches of five images; the first loss is that of the untouched model."""
    model = Guess()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    running, mean, first = train_epoch(
        model, optimizer, resident(5).batches(None, 2), F.cross_entropy
    )
    assert model.trained == [True, True, True]
    assert model.shift != 0
    assert first == loss_of(0, 1)
    untouched = (loss_of(0, 1), loss_of(2, 0), loss_of(1))
    assert running == pytest.approx(sum(untouched), rel=0.1)
    assert mean == pytest.approx((2 * sum(untouched[:2]) + untouched[2]) / 5, rel=0.1)


def test_validation_is_the_mean_over_all_images_and_changes_nothing() -> None:
    """1,100 images in three batches; the smaller last one weighs no more than its images do."""
    model = Guess()
    labels = torch.cat([torch.ones(1000), torch.zeros(100)]).long()
    data = Resident(images=torch.zeros(1100, 2, 4, 3, dtype=torch.uint8), labels=labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = data.batches(None, VALIDATION_BATCH)
    loss, accuracy = validate(model, optimizer, batches, F.cross_entropy)
    assert model.trained == [False, False, False]
    assert accuracy == 1000 / 1100
    assert loss == pytest.approx((1000 * loss_of(1) + 100 * loss_of(0)) / 1100, rel=1e-6)
    assert model.shift.grad is None
    assert model.shift == 0
