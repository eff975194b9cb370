"""The player of a VAE-GAN that says what an image may be made of."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """Says where images come from: (N, ...) -> mean and logarithm of the variance, (N, Z) each.

    Args:
        body: From images to (N, F) features.
        width: F.
        latent: Z.
    """

    def __init__(self, body: nn.Module, width: int, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.body = body
        self.head = nn.Linear(width, 2 * latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the code of each image."""
        mean, log_variance = self.head(self.body(images)).chunk(2, dim=1)
        return mean, log_variance
