"""A small GAN on scikit-learn's digits: two networks, two optimizers, one class.

    python -m sweeps.run --trainable examples.gan:Gan --space examples/gan.toml \
        --objective distance --direction minimize --epochs 6 --trials 8
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

NOISE, BATCH, TRAINED = 16, 64, 1297


class Gan:
    """A generator of images of digits, and a critic that tells them from real ones.

    Args:
        config: learning rate of each network, and the hidden width of both.
        device: where they are trained.
    """

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        pixels = torch.tensor(load_digits().data, dtype=torch.float32, device=device) / 8 - 1
        self.device, self.train, self.val = device, pixels[:TRAINED], pixels[TRAINED:]
        width = config["width"]
        self.generator = nn.Sequential(
            nn.Linear(NOISE, width), nn.ReLU(), nn.Linear(width, 64), nn.Tanh()
        ).to(device)
        self.critic = nn.Sequential(
            nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        ).to(device)
        parts = ((self.generator, config["generator_lr"]), (self.critic, config["critic_lr"]))
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))
            for network, lr in parts
        ]

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """One pass over the real images; each batch trains the critic, then the generator."""
        of_generator, of_critic = self.optimizers
        for batch in torch.randperm(len(self.train), device=self.device).split(BATCH):
            made = self.generator(self.noise(len(batch)))
            real, fake = self.critic(self.train[batch]), self.critic(made.detach())
            critic_loss = self.against(real, 1) + self.against(fake, 0)
            of_critic.zero_grad()
            critic_loss.backward()
            of_critic.step()

            generator_loss = self.against(self.critic(made), 1)
            of_generator.zero_grad()
            generator_loss.backward()
            of_generator.step()
        return {
            "critic_loss": critic_loss.item(),
            "generator_loss": generator_loss.item(),
            "distance": self.distance(),
        }

    @torch.no_grad()
    def distance(self) -> float:
        """Energy distance between made images and real ones that were not trained on.

        Szekely and Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018
        """
        made, real = self.generator(self.noise(len(self.val))), self.val
        both = 2 * torch.cdist(made, real).mean()
        return float(both - torch.cdist(made, made).mean() - torch.cdist(real, real).mean())

    def noise(self, count: int) -> Tensor:
        """What images are made from."""
        return torch.randn(count, NOISE, device=self.device)

    def against(self, scores: Tensor, target: int) -> Tensor:
        """The loss of scores that should be those of real (1) or made (0) images."""
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))

    def state_dict(self) -> dict[str, Any]:
        """Both networks, both optimizers."""
        return {
            "networks": [it.state_dict() for it in (self.generator, self.critic)],
            "optimizers": [it.state_dict() for it in self.optimizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        for network, own in zip((self.generator, self.critic), state["networks"], strict=True):
            network.load_state_dict(own)
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)

    def export(self) -> nn.Module:
        """The generator is registered if the trial wins; it takes noise, N x 16."""
        self.generator.example_input_array = torch.zeros(2, NOISE)
        return self.generator
