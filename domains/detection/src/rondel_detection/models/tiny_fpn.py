"""A small backbone with a feature pyramid, which learns from scratch in minutes on a CPU.

Normalisation is by groups of channels of one image, never over the batch, so that pieces of a batch
give the gradient of the whole. Letters: B images, C channels, (H, W) the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

GROUP = 8
"""Channels that are normalised together."""
STAGES = ((4, 24), (8, 48), (16, 72), (32, 96))
"""Stride and channels of each residual stage at width 1."""


class TinyFpn(nn.Module):
    """A stem, up to four residual stages and a feature pyramid (Lin et al., 2017).

    Sides of the canvas must be multiples of the last level.

    Args:
        width: Factor on the channels of the stem and the stages.
        out_channels: Channels of every level.
        levels: Strides of the levels, ascending, of 4, 8, 16 and 32; stages past the last one are
            not built.
    """

    def __init__(
        self, width: float = 1.0, out_channels: int = 64, levels: Sequence[int] = (8, 16, 32)
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.out_channels = out_channels
        built = [(stride, scaled(size, width)) for stride, size in STAGES if stride <= levels[-1]]
        channels = dict(built)
        first = built[0][1]
        self.stem = nn.Sequential(Convolution(3, first, stride=2), nn.ReLU())
        before = [first, *(size for _, size in built)]
        self.stages = nn.ModuleDict(
            {str(stride): Residual(before[i], size) for i, (stride, size) in enumerate(built)}
        )
        self.lateral = nn.ModuleDict(
            {str(level): nn.Conv2d(channels[level], out_channels, 1) for level in self.levels}
        )
        self.output = nn.ModuleDict(
            {str(level): Convolution(out_channels, out_channels) for level in self.levels}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels by stride: ``{'8': (B, C, H/8, W/8), ...}``, finest first.

        Args:
            images: (B, 3, H, W) floats around 0.
        """
        features = self.stem(images)
        found: dict[str, Tensor] = {}
        for stride, stage in self.stages.items():
            features = stage(features)
            if stride in self.lateral:
                found[stride] = self.lateral[stride](features)
        names = list(found)
        for fine, coarse in zip(names[-2::-1], names[:0:-1], strict=True):
            ratio = int(coarse) // int(fine)
            found[fine] = found[fine] + functional.interpolate(found[coarse], scale_factor=ratio)
        return {name: functional.relu(self.output[name](found[name])) for name in names}

    def depths(self) -> tuple[tuple[str, ...], ...]:
        """Return name prefixes of parameters from the output to the input, for unfreezing."""
        stages = [(f"stages.{stride}.",) for stride in reversed(list(self.stages))]
        return (("lateral.", "output."), *stages, ("stem.",))


class Residual(nn.Module):
    """Two convolutions and a shortcut, halving the sides (He et al., 2016)."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.first = Convolution(before, channels, stride=2)
        self.second = Convolution(channels, channels)
        self.shortcut = nn.Conv2d(before, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, C, H/2, W/2) of (B, C', H, W)."""
        inner = functional.relu(self.first(features))
        shortcut = self.shortcut(functional.avg_pool2d(features, 2))
        return functional.relu(self.second(inner) + shortcut)


class Convolution(nn.Sequential):
    """A 3 x 3 convolution that keeps the sides, normalised by groups of channels."""

    def __init__(self, before: int, channels: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(channels // GROUP, channels),
        )


def scaled(channels: int, width: float) -> int:
    """Return the channels times the width, a multiple of the group and at least one group."""
    return max(GROUP, round(channels * width / GROUP) * GROUP)
