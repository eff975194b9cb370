"""Which maps a convolutional net has, from the coarsest to the finest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rondel.errors import ConfigError

SMALLEST = 4
"""Pixels of the coarsest map's shorter side, at least."""
FINEST = (8, 256)
"""Pixels of an image's shorter side, at least, and of its longer side, at most."""
MOST_DOUBLINGS = 3
"""Of channels: a map has at most 8 times as many as the finest one."""


@dataclass(frozen=True, kw_only=True)
class Resolutions:
    """The maps of a net for images of one size; each is twice as fine as the one before.

    Args:
        coarsest: Height and width of the first map.
        doublings: Steps from there to the image.
        width: Channels at the finest map.
    """

    coarsest: tuple[int, int]
    doublings: int
    width: int

    def channels(self, maps: int) -> list[int]:
        """Return the channels of maps, coarsest first; they halve on the way to the finest."""
        return [self.width << min(MOST_DOUBLINGS, steps) for steps in reversed(range(maps))]


def resolutions_of(name: str, shape: Sequence[int], width: int) -> Resolutions:
    """Halve an image as often as its shorter side stays at 4 pixels or more.

    Args:
        name: The kind of net, for the message.
        shape: Of the images, (C, H, W).
        width: Channels at the finest map.

    Raises:
        ConfigError: The net cannot make such images.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"{name!r} makes images, not points of {shape[0]} numbers",
            where="model.name",
            hint="Set model.name=perceptron.",
        )
    height, width_pixels = shape[1], shape[2]
    doublings = halvings(min(height, width_pixels))
    fits = FINEST[0] <= min(height, width_pixels) and max(height, width_pixels) <= FINEST[1]
    if not fits or height % (1 << doublings) or width_pixels % (1 << doublings):
        sizes = ", ".join(str(size) for size in square_sizes(64))
        raise ConfigError(
            f"{name!r} makes no images of {height} x {width_pixels} pixels",
            where="model.name",
            hint=f"Scale them to {sizes}, 128 or 256 pixels, or set model.name=perceptron.",
        )
    coarsest = (height >> doublings, width_pixels >> doublings)
    return Resolutions(coarsest=coarsest, doublings=doublings, width=width)


def halvings(side: int) -> int:
    """Return how often a side can be halved before it is below 4 pixels."""
    return max(0, (side // SMALLEST).bit_length() - 1)


def square_sizes(largest: int) -> list[int]:
    """Return the sides of the square images that fit, up to a largest one."""
    sides = range(FINEST[0], largest + 1)
    return [side for side in sides if side % (1 << halvings(side)) == 0]
