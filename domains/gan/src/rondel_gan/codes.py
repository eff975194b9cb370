"""The noise of InfoGAN: Gaussian numbers, a category, and continuous codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel.errors import UsageError
from rondel_gan.config import GanConfig, ModelConfig
from rondel_gan.sampling import gaussian


def with_codes(config: GanConfig) -> ModelConfig:
    """Return the settings of a generator whose noise has room for the codes."""
    codes = config.info.categories + config.info.continuous
    return config.model.model_copy(update={"latent": config.model.latent + codes})


def coded_noise(config: GanConfig, size: int, generator: torch.Generator) -> Tensor:
    """Draw (N, latent) Gaussian numbers, a one-hot category and continuous codes in [-1, 1]."""
    codes = config.info
    category = torch.randint(codes.categories, (size,), generator=generator)
    return torch.cat(
        [
            gaussian(size, config.model.latent, generator),
            F.one_hot(category, codes.categories).float(),
            2 * torch.rand((size, codes.continuous), generator=generator) - 1,
        ],
        dim=1,
    )


def with_choice(
    config: GanConfig,
    noise: Tensor,
    *,
    category: int | None = None,
    code: Sequence[float] | None = None,
) -> Tensor:
    """Return (N, Z) noise whose codes are those that were chosen.

    Args:
        config: Its number of categories and of codes.
        noise: As `coded_noise` draws it.
        category: In place of those drawn.
        code: Continuous codes, likewise.

    Raises:
        UsageError: There are fewer or more codes, or some are not in [-1, 1].
    """
    chosen = noise.clone()
    start, end = config.model.latent, config.model.latent + config.info.categories
    if category is not None:
        chosen[:, start:end] = F.one_hot(torch.tensor(category), config.info.categories).float()
    if code is not None:
        if len(code) != config.info.continuous or not all(-1 <= value <= 1 for value in code):
            raise UsageError(
                f"the code is {', '.join(f'{value:g}' for value in code)}",
                hint=f"The model has {config.info.continuous}, each from -1 to 1.",
            )
        chosen[:, end:] = torch.tensor(code)
    return chosen
