"""A small transformer that predicts the next character of scikit-learn's documentation.

    python -m sweeps.run --trainable examples.char_transformer:Characters \
        --space examples/char_transformer.toml --objective bits --direction minimize \
        --epochs 6 --trials 8

Trials whose learning rates agree so far share their epochs: see `in_force`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONTEXT, BATCH, STEPS = 32, 16, 20


class Characters:
    """A transformer of two layers, with a loop of its own.

    Args:
        config: width of the layers, learning rate, and `gamma` by which it decays every two epochs.
        device: where it is trained.
    """

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.config, self.device = config, device
        folder = resources.files("sklearn.datasets.descr")
        files = sorted((it for it in folder.iterdir() if it.name.endswith(".rst")), key=str)
        text = "".join(it.read_text(encoding="utf-8") for it in files)
        known = sorted(set(text))
        codes = torch.tensor([known.index(it) for it in text], device=device)
        self.train, self.val = codes[: len(codes) * 9 // 10], codes[len(codes) * 9 // 10 :]
        self.network = Transformer(len(known), config["width"]).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters())

    def in_force(self, epoch: int) -> Mapping[str, Any]:
        """What acts in an epoch: the width, and the learning rate of that epoch."""
        decays = (epoch - 1) // 2
        lr = self.config["lr"] * self.config["gamma"] ** decays
        return {"width": self.config["width"], "lr": lr}

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Some steps on random pieces of the text."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.in_force(epoch)["lr"]
        self.network.train()
        for _ in range(STEPS):
            starts = torch.randint(len(self.train) - CONTEXT - 1, (BATCH, 1), device=self.device)
            piece = self.train[starts + torch.arange(CONTEXT + 1, device=self.device)]
            loss = self.loss(piece)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return {"loss": loss.item(), "bits": self.validate()}

    @torch.no_grad()
    def validate(self) -> float:
        """Bits per character of the last tenth of the text."""
        self.network.eval()
        count = (len(self.val) - 1) // CONTEXT
        pieces = self.val.unfold(0, CONTEXT + 1, CONTEXT)[:count]
        return self.loss(pieces).item() / torch.log(torch.tensor(2.0)).item()

    def loss(self, pieces: Tensor) -> Tensor:
        """Cross entropy of each next character."""
        scores = self.network(pieces[:, :-1])
        return F.cross_entropy(scores.flatten(0, 1), pieces[:, 1:].flatten())

    def state_dict(self) -> dict[str, Any]:
        """Weights, and what the optimizer keeps."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


class Transformer(nn.Module):
    """Takes codes of characters, N x length, and gives scores of the next, N x length x known."""

    def __init__(self, known: int, width: int) -> None:
        super().__init__()
        self.codes, self.places = nn.Embedding(known, width), nn.Embedding(CONTEXT, width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.scores = nn.Linear(width, known)

    def forward(self, codes: Tensor) -> Tensor:
        """Each character sees those before it."""
        length = codes.shape[1]
        hidden = self.codes(codes) + self.places(torch.arange(length, device=codes.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=codes.device)
        return self.scores(self.layers(hidden, mask=mask, is_causal=True))
