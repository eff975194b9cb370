"""Colours and erased patches: changes of pixels that leave every box where it is."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel_detection.data.sample import Sample

BRIGHTNESS = CONTRAST = SATURATION = 0.4
"""Largest change of the factors at a strength of 1, as usual for ColorJitter."""
HUE = 0.1
"""Largest turn of the hue at a strength of 1, in turns of the colour circle."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in what is seen as grey (ITU-R BT.601)."""
TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""From red, green, blue to lightness and two axes of colour (NTSC, 1953)."""


@dataclass(frozen=True)
class Shift:
    """One change of colours.

    Args:
        brightness: Factor on all values.
        contrast: Factor on the distance to the mean grey.
        saturation: Factor on the distance of each pixel to its grey; 0 is grey.
        hue: Turn of the colours, in turns of the circle.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def __call__(self, picture: Tensor) -> Tensor:
        """Return the picture, (3, h, w) uint8, with other colours.

        All four are linear in red, green and blue, so one 3 x 3 matrix and an offset do them at
        once: 70 microseconds at 128 pixels where torchvision's four functions take 1,300, most of
        it for the hue by way of HSV. Turning the two axes of YIQ is that hue but for its keeping
        lightness instead of the largest channel.
        """
        values = picture.reshape(3, -1)
        sums: list[int] = values.sum(1).tolist()
        grey = sum(w * s for w, s in zip(LUMA, sums, strict=True)) / max(1, values.shape[1])
        offset = (1 - self.contrast) * self.brightness * grey
        # a half more: the conversion cuts off what is behind the point
        shift = exact(torch.full((3, 1), offset + 0.5))
        made = torch.addmm(shift, exact(self.matrix()), values.to(torch.float32))
        pixels: Tensor = made.clamp_(0, 255).to(torch.uint8)
        return pixels.reshape(picture.shape)

    def matrix(self) -> Tensor:
        """Return the change as a matrix, (3, 3), without its offset."""
        luma = torch.tensor(LUMA).expand(3, 3)
        saturated = self.saturation * torch.eye(3) + (1 - self.saturation) * luma
        made: Tensor = self.contrast * self.brightness * (turned(self.hue) @ saturated)
        return made


def exact(factors: Tensor) -> Tensor:
    """Return factors as multiples of 2**-12.

    Their products with 8 bits and the sums of those are exact in float32, so that a picture does
    not depend on how many threads add them up, in which order.
    """
    return (factors * 4096).round() / 4096


def turned(hue: float) -> Tensor:
    """Return the matrix, (3, 3), that turns all colours by ``hue`` turns and keeps lightness."""
    if hue == 0:
        return torch.eye(3)
    to_yiq = torch.tensor(TO_YIQ)
    cosine, sine = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
    from_yiq: Tensor = torch.linalg.inv(to_yiq)
    return from_yiq @ turn @ to_yiq


@dataclass(frozen=True)
class Colour:
    """Random brightness, contrast, saturation and hue.

    Args:
        strength: 1 is up to 40 % and a tenth of the colour circle.
        grey: Chance of no colour at all.
    """

    strength: float
    grey: float = 0.0

    def __call__(self, sample: Sample) -> Sample:
        """Change the picture of a sample."""
        return sample._replace(picture=self.change(sample.picture))

    def change(self, picture: Tensor) -> Tensor:
        """Change a picture, (3, h, w) uint8."""
        return self.draw()(picture)

    def draw(self) -> Shift:
        """Draw one change."""
        brightness, contrast, saturation = (
            max(0.0, 1 + random.uniform(-1, 1) * most * self.strength)
            for most in (BRIGHTNESS, CONTRAST, SATURATION)
        )
        hue = random.uniform(-1, 1) * min(0.5, HUE * self.strength)
        if self.grey and random.random() < self.grey:
            saturation = 0.0
        return Shift(brightness, contrast, saturation, hue)


@dataclass(frozen=True)
class Erase:
    """Random rectangles of one random colour each (Zhong et al., 2020; DeVries and Taylor, 2017).

    Args:
        chance: Of each rectangle.
        patches: Rectangles that are tried.
        share: Range of the share of the picture that one covers.
    """

    chance: float = 0.5
    patches: int = 3
    share: tuple[float, float] = (0.02, 0.1)

    def __call__(self, sample: Sample) -> Sample:
        """Change the picture of a sample."""
        return sample._replace(picture=self.change(sample.picture))

    def change(self, picture: Tensor) -> Tensor:
        """Change a picture, (3, h, w) uint8."""
        made = picture.clone()
        for _ in range(self.patches):
            if random.random() < self.chance:
                self._patch(made)
        return made

    def _patch(self, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        share = random.uniform(*self.share)
        aspect = math.exp(random.uniform(-1, 1) * math.log(3))
        tall = min(height, max(1, round(math.sqrt(share * height * width * aspect))))
        wide = min(width, max(1, round(math.sqrt(share * height * width / aspect))))
        top, left = random.randint(0, height - tall), random.randint(0, width - wide)
        colour = torch.tensor([random.randrange(256) for _ in range(3)], dtype=torch.uint8)
        picture[:, top : top + tall, left : left + wide] = colour[:, None, None]
