"""The layers between inputs and outputs.

Shapes: ``...`` any leading axes, D features of the inputs, W of a hidden layer.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "mish": nn.Mish,
}


class MLPBackbone(nn.Sequential):
    """A linear map, an activation and dropout, so many times."""

    def __init__(
        self, inputs: int, width: int, layers: int, *, activation: str, dropout: float
    ) -> None:
        sizes = [inputs] + [width] * layers
        made: list[nn.Module] = []
        for before, after in pairwise(sizes):
            made += [nn.Linear(before, after), ACTIVATIONS[activation]()]
            made += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*made)
        self.width = width


class ResNetBackbone(nn.Module):
    """Blocks beside which the features pass unchanged (Gorishniy et al., 2021, section 3.2).

    The norm is over the features of a row, where the paper's is over the rows of a batch: rows do
    not depend on one another, so that micro-batches are exact.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, *, activation: str, dropout: float
    ) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, 2 * width),
                ACTIVATIONS[activation](),
                nn.Dropout(dropout),
                nn.Linear(2 * width, width),
            )
            for _ in range(layers)
        )
        self.last = nn.Sequential(nn.LayerNorm(width), ACTIVATIONS[activation]())
        self.width = width

    def forward(self, features: Tensor) -> Tensor:  # (..., D) -> (..., W)
        """Return the hidden features."""
        hidden = self.first(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        out: Tensor = self.last(hidden)
        return out
