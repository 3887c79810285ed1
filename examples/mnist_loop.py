"""The usual loop of a script that trains on MNIST, as a class; here on scikit-learn's digits.

    python -m sweeps.run --trainable examples.mnist_loop:Mnist --space examples/mnist_loop.toml \
        --objective test_loss --direction minimize --epochs 4 --trials 8

`train`, `test` and the network are those of the script. What was its `main` is the class:
docs/extending.md shows the difference.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def network() -> nn.Module:
    """Two convolutions and two linear layers, with dropout."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(32, 10), nn.LogSoftmax(dim=1)),
    )


def train(model, device, loader, optimizer):
    """One pass over the training images."""
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def test(model, device, loader):
    """Mean loss and accuracy over the test images."""
    model.eval()
    loss, correct = 0.0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        scores = model(images)
        loss += F.nll_loss(scores, labels, reduction="sum").item()
        correct += (scores.argmax(dim=1) == labels).sum().item()
    return {"test_loss": loss / len(loader.dataset), "test_accuracy": correct / len(loader.dataset)}


def loaders(batch_size):
    """Batches of training and of test images."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    first = TensorDataset(images[:1297], labels[:1297])
    last = TensorDataset(images[1297:], labels[1297:])
    return DataLoader(first, batch_size, shuffle=True), DataLoader(last, 500)


class Mnist:
    """The script's `main`, for a config with batch_size, lr, and gamma by which lr decays."""

    def __init__(self, config, device):
        self.config, self.device, self.loaders = config, device, loaders(config["batch_size"])
        self.model = network().to(device)
        self.optimizer = torch.optim.Adadelta(self.model.parameters(), lr=config["lr"])

    def train_epoch(self, epoch):
        """Train and test."""
        self.optimizer.param_groups[0]["lr"] = self.in_force(epoch)["lr"]
        train(self.model, self.device, self.loaders[0], self.optimizer)
        return test(self.model, self.device, self.loaders[1])

    def state_dict(self):
        """Weights, and what the optimizer keeps."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state):
        """Continue from there."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def in_force(self, epoch):
        """What acts in an epoch: trials that agree so far share their epochs."""
        lr = self.config["lr"] * self.config["gamma"] ** (epoch - 1)
        return {"batch_size": self.config["batch_size"], "lr": lr}
