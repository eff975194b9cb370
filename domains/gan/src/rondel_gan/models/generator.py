"""The player that makes samples: a body between noise and the last squashing.

Shapes: N samples, Z latent numbers, samples (N, *shape): (N, C, H, W), or (N, 2) for points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rondel.errors import UsageError
from rondel_gan.config import ModelConfig


class Generator(nn.Module):
    """Makes samples of noise: (N, Z) -> (N, *shape), in [-1, 1] if it ends in tanh.

    With classes it is told what to make by an embedding of the label, as long as the noise and
    set beside it (Mirza and Osindero, 2014).

    Args:
        body: From (N, `inputs_of(config, classes)`) to (N, *shape).
        config: The latent numbers, and the last step.
        shape: Of a sample.
        classes: How many there are; 0 for a generator without labels.
    """

    def __init__(
        self, body: nn.Module, config: ModelConfig, shape: Sequence[int], classes: int = 0
    ) -> None:
        super().__init__()
        self.latent = config.latent
        self.shape = tuple(shape)
        self.classes = classes
        self.body = body
        self.embedding = nn.Embedding(classes, config.latent) if classes else None
        self.squash = nn.Tanh() if config.output == "tanh" else nn.Identity()

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make one sample of each row of noise, of the class that its label says.

        Args:
            noise: (N, Z).
            labels: (N,) int64; a generator without classes ignores them.

        Raises:
            UsageError: The generator has classes, and there are no labels.
        """
        if self.embedding is not None:
            if labels is None:
                raise UsageError(
                    f"a generator of {self.classes} classes was given no labels",
                    hint="Pass one label for each row of noise.",
                )
            noise = torch.cat([noise, self.embedding(labels)], dim=1)
        samples: Tensor = self.squash(self.body(noise))
        return samples


def inputs_of(config: ModelConfig, classes: int) -> int:
    """Return how many numbers the body of a generator is given."""
    return config.latent * (2 if classes else 1)
