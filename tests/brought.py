"""Pieces as users bring them: what a reference in a test names."""

import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def tiny(num_classes: int, in_channels: int) -> nn.Module:
    """A small network that trains in no time."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 2, 3, stride=4), nn.Flatten(), nn.Linear(128, num_classes)
    )


def noisy(num_classes: int, in_channels: int, width: int = 4, dropout: float = 0.5) -> nn.Module:
    """With dropout and batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=4),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(64 * width, num_classes),
    )


def matrices(num_classes: int) -> nn.Module:
    """Matrices alone, which is what Muon trains."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 4, bias=False), nn.Linear(4, num_classes, bias=False)
    )


def flat(num_classes: int) -> nn.Module:
    """One layer over all of an image of 4 x 4 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(48, num_classes))


def words(num_classes: int, vocabulary: int = 50) -> nn.Module:
    """The mean of the embeddings of indices."""
    return nn.Sequential(nn.EmbeddingBag(vocabulary, 4), nn.Linear(4, num_classes))


def ready() -> nn.Module:
    """For 10 classes and 3 channels, whatever the data has."""
    return tiny(10, 3)


def picky(num_classes: int, in_channels: int) -> nn.Module:
    """A network whose constructor refuses whatever it is asked for."""
    raise RuntimeError("not on Wednesdays")


def nothing() -> None:
    """A function that forgot to return its network."""


def smooth(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy with smoothed labels."""
    return F.cross_entropy(outputs, targets, label_smoothing=0.1)


def each(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each image, where its mean is asked for."""
    return F.cross_entropy(outputs, targets, reduction="none")


class SmoothLoss(nn.CrossEntropyLoss):
    """A loss as a class."""


class Halving(torch.optim.Optimizer):
    """A user's optimizer: gradient descent that halves every step."""

    def __init__(self, params, lr: float = 0.1, factor: float = 0.5) -> None:
        super().__init__(params, {"lr": lr, "factor": factor})

    @torch.no_grad()
    def step(self, closure=None):
        """Against the gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                weight.add_(weight.grad, alpha=-group["lr"] * group["factor"])


class Heads(torch.optim.SGD):
    """A user's optimizer: vectors have a rate and a momentum of their own."""

    def __init__(self, params, lr: float = 0.1, momentum: float = 0.5) -> None:
        weights = list(params)
        vectors = [weight for weight in weights if weight.ndim == 1]
        others = [weight for weight in weights if weight.ndim > 1]
        groups = [{"params": others}, {"params": vectors, "lr": 3 * lr, "momentum": 0.9}]
        super().__init__(groups, lr=lr, momentum=momentum)


class Grouped(nn.Sequential):
    """A network whose last layer learns ten times as fast, without decay of its bias."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(*tiny(num_classes, in_channels))

    def param_groups(self, lr: float):
        """As torch.optim takes them."""
        head = self[-1]
        return [
            {"params": self[0].parameters()},
            {"params": [head.weight], "lr": 10 * lr},
            {"params": [head.bias], "lr": 10 * lr, "weight_decay": 0.0},
        ]


class Overlapping(Grouped):
    """A network that names its parameters twice."""

    def param_groups(self, lr: float):
        """Which torch refuses."""
        return [{"params": self.parameters()}, {"params": self.parameters()}]


class Restless(nn.Module):
    """A network that draws from a source that nobody seeded."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.inner = tiny(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        """Its scores, and a little noise."""
        return self.inner(images) + random.SystemRandom().random() / 100


def restless(num_classes: int, in_channels: int) -> nn.Module:
    """See `Restless`."""
    return Restless(num_classes, in_channels)


class Counting(nn.Module):
    """A network that anneals its noise by a counter which nobody stores."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.inner = tiny(num_classes, in_channels)
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        """Its scores, larger with each step."""
        self.steps += self.training
        return self.inner(images) * (1 + self.steps / 10)


def counting(num_classes: int, in_channels: int) -> nn.Module:
    """See `Counting`."""
    return Counting(num_classes, in_channels)


class Forgetful(nn.Module):
    """A network with a running mean that is no part of its state."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.inner = tiny(num_classes, in_channels)
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Its scores, shifted by the running mean."""
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * images.mean()
        return self.inner(images - self.mean)


def forgetful(num_classes: int, in_channels: int) -> nn.Module:
    """See `Forgetful`."""
    return Forgetful(num_classes, in_channels)


_made: list[int] = []


def remembering(num_classes: int, in_channels: int) -> nn.Module:
    """Dropout by how many networks this process made before."""
    _made.append(1)
    return nn.Sequential(nn.Dropout(1 - 1 / (1 + len(_made))), tiny(num_classes, in_channels))


class Numbered(torch.optim.SGD):
    """An optimizer that keeps a number of numpy's."""

    def step(self, closure=None):
        """A step, counted."""
        super().step()
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["count"] = np.float64(1)


def broken(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss with a mistake in it."""
    raise ValueError("no loss today")


def share_of_zeros(outputs: Tensor, targets: Tensor) -> Tensor:
    """A metric: the share of images taken for class 0."""
    return (outputs.argmax(1) == 0).double().mean()


class Hits:
    """A metric in the form of torchmetrics: the share of hits among the best few scores."""

    made = 0

    def __init__(self, top: int = 1) -> None:
        Hits.made += 1
        if top < 1:
            raise ValueError(f"top is {top}")
        self.top, self.hits, self.count = top, 0, 0

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch."""
        best = preds.topk(self.top).indices
        self.hits += int((best == target[:, None]).any(1).sum())
        self.count += len(target)

    def compute(self) -> Tensor:
        """The share of all batches so far."""
        return torch.tensor(self.hits / self.count)


def moody(outputs: Tensor, targets: Tensor) -> float:
    """A metric with a mistake in it."""
    raise ValueError("no metric\ntoday")


def wordy(outputs: Tensor, targets: Tensor) -> str:
    """A metric that is no number."""
    return "good"


def undefined(outputs: Tensor, targets: Tensor) -> float:
    """A metric that is not defined for these outputs."""
    return float("nan")
