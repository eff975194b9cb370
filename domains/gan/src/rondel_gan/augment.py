"""Variations of what the discriminator sees, differentiable, with random numbers given from outside.

DiffAugment (Zhao et al., 2020) varies every image; ADA (Karras et al., 2020b) varies it with a
probability that follows the discriminator's overfitting. Each image has its own numbers, so that
pieces of a batch are varied as the whole is. Shapes: images (N, C, H, W), numbers (N, 2, K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rondel.errors import ConfigError
from rondel_gan.config import AugmentConfig

SHIFT = 0.125
"""Largest translation, as a share of the side."""
HOLE = 0.5
"""Side of what is cut out, as a share of the image's."""


class Augment:
    """Varies images.

    Args:
        config: Kinds, and how the probability adapts.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self.adapts = config.mode == "ada"
        self.probability = torch.tensor(0.0 if self.adapts else 1.0)
        self._kinds = [KINDS[kind] for kind in config.kinds]
        self._numbers = sum(kind.numbers for kind in self._kinds)

    @classmethod
    def of(cls, config: AugmentConfig, shape: Sequence[int]) -> Augment | None:
        """Return what a config asks for, None for nothing.

        Raises:
            ConfigError: The data is no images.
        """
        if config.mode == "none":
            return None
        if len(shape) != 3:
            raise ConfigError(
                "only images can be varied",
                where="augment.mode",
                hint="Leave it 'none' for points.",
            )
        return cls(config)

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """Draw the numbers of a batch, (N, 2, K) uniform: what to do, and whether."""
        return torch.rand((size, 2, max(1, self._numbers)), generator=generator)

    def __call__(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Vary images, each by its own numbers."""
        used = 0
        for kind in self._kinds:
            mine = numbers[:, :, used : used + kind.numbers]
            used += kind.numbers
            # one number decides for all of a kind
            chosen = mine[:, 1, :1] < self.probability.to(mine)
            images = kind.vary(images, mine[:, 0], chosen)
        return images

    def follow(self, sign: Tensor, *, images: int) -> None:
        """Raise the probability while real scores are too often positive, else lower it.

        Args:
            sign: Mean sign of the scores of real images, a scalar on its device.
            images: Images since the last call.
        """
        step = torch.sign(sign - self.config.target) * (images / self.config.images)
        self.probability = (self.probability.to(step) + step).clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the probability."""
        return {"probability": self.probability}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self.probability = state["probability"].clone()


class Kind:
    """A way to vary images.

    Args:
        numbers: Random numbers that it needs for each image.
        vary: Of images, their (N, K) numbers, and (N, 1) whether each is varied.
    """

    def __init__(self, numbers: int, vary: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self.numbers = numbers
        self.vary = vary


def color(images: Tensor, numbers: Tensor, chosen: Tensor) -> Tensor:
    """Change brightness by up to 0.5, saturation to 0..2 and contrast to 0.5..1.5 times."""
    on = chosen.to(images).view(-1, 1, 1, 1)
    brightness, saturation, contrast = (n.view(-1, 1, 1, 1) for n in numbers.to(images).unbind(1))
    images = images + on * (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + on * (2 * saturation - 1))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + on * (contrast - 0.5))


def translation(images: Tensor, numbers: Tensor, chosen: Tensor) -> Tensor:
    """Move by up to an eighth of the side, whole pixels; what comes in is black (0)."""
    height, width = images.shape[2:]
    rows = shifts(numbers[:, 0], chosen, height)
    columns = shifts(numbers[:, 1], chosen, width)
    return moved(moved(images, rows, 2), columns, 3)


def shifts(numbers: Tensor, chosen: Tensor, side: int) -> Tensor:
    """Return whole pixels between minus and plus an eighth of a side, (N,)."""
    most = max(1, round(side * SHIFT))
    drawn = (numbers * (2 * most + 1)).floor().clamp(max=2 * most) - most
    return (drawn * chosen[:, 0]).long()


def moved(images: Tensor, by: Tensor, axis: int) -> Tensor:
    """Move each image along an axis by its own number of pixels."""
    side = images.shape[axis]
    shape = [len(images), 1, 1, 1]
    shape[axis] = side
    source = torch.arange(side, device=images.device) - by[:, None]
    inside = ((source >= 0) & (source < side)).to(images).view(shape)
    place = source.clamp(0, side - 1).view(shape).expand_as(images)
    return images.gather(axis, place) * inside


def cutout(images: Tensor, numbers: Tensor, chosen: Tensor) -> Tensor:
    """Blacken (0) a square of half the side, anywhere."""
    height, width = images.shape[2:]
    rows = hole(numbers[:, 0], height)
    columns = hole(numbers[:, 1], width)
    holes = (rows[:, :, None] & columns[:, None, :])[:, None] & chosen.view(-1, 1, 1, 1)
    return images * (~holes).to(images)


def hole(numbers: Tensor, side: int) -> Tensor:
    """Return which pixels of a side the hole covers, (N, side)."""
    middle = (numbers * side).floor()[:, None]
    distance = torch.arange(side, device=numbers.device)[None] - middle
    half = side * HOLE / 2
    return (distance >= -half) & (distance < half)


def flip(images: Tensor, numbers: Tensor, chosen: Tensor) -> Tensor:
    """Mirror left and right, half of the time."""
    mirrored = (chosen & (numbers[:, :1] < 0.5)).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


KINDS = {
    "color": Kind(3, color),
    "translation": Kind(2, translation),
    "cutout": Kind(2, cutout),
    "flip": Kind(1, flip),
}
