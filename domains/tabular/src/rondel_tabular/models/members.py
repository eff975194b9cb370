"""An ensemble in one network: k members that share their weights (Gorishniy et al., 2025: TabM).

Shapes: N rows, k members, D features of the inputs, W of a hidden layer, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rondel_tabular.models.backbones import ACTIVATIONS
from rondel_tabular.models.inputs import Inputs


class Scaling(nn.Module):
    """A factor of each member for each feature: the adapter of TabM-mini (section 3.3).

    It starts at random, the same for all features of one column, so that members see a column as a
    whole more or less strongly.

    Args:
        members: k.
        widths: Features of each column.
    """

    def __init__(self, members: int, widths: Sequence[int]) -> None:
        super().__init__()
        each = torch.randn(members, len(widths))
        self.weight = nn.Parameter(each.repeat_interleave(torch.tensor(widths), dim=1))

    def forward(self, features: Tensor) -> Tensor:  # (N, k, D) -> (N, k, D)
        """Scale the features of each member."""
        return features * self.weight


class SharedLinear(nn.Module):
    """A linear map with one matrix, and factors and a bias for each member (Wen et al., 2020).

    Args:
        members: k.
        inputs: Features before the map.
        outputs: Features after it.
        scaled: Whether the inputs are scaled too; the first layer of a network is told by a
            `Scaling` of its own.
    """

    def __init__(self, members: int, inputs: int, outputs: int, *, scaled: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.before = nn.Parameter(torch.ones(members, inputs)) if scaled else None
        self.after = nn.Parameter(torch.ones(members, outputs))
        bound = inputs**-0.5
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, features: Tensor) -> Tensor:  # (N, k, D) -> (N, k, W)
        """Return the features of the next layer."""
        if self.before is not None:
            features = features * self.before
        return torch.addcmul(self.bias, self.linear(features), self.after)


class SharedBackbone(nn.Sequential):
    """The hidden layers of TabM, whose every layer tells the members apart."""

    def __init__(
        self,
        inputs: int,
        width: int,
        layers: int,
        *,
        members: int,
        activation: str,
        dropout: float,
    ) -> None:
        made: list[nn.Module] = []
        for layer in range(layers):
            made += [
                SharedLinear(members, width if layer else inputs, width, scaled=layer > 0),
                ACTIVATIONS[activation](),
                nn.Dropout(dropout),
            ]
        super().__init__(*made)
        self.width = width


class Heads(nn.Module):
    """A linear map for each member, which shares nothing with the others.

    Args:
        members: k.
        width: W.
        outputs: O.
    """

    def __init__(self, members: int, width: int, outputs: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(members, width, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, hidden: Tensor) -> Tensor:  # (N, k, W) -> (N, k, O)
        """Return the outputs of each member."""
        return torch.baddbmm(self.bias, hidden.transpose(0, 1), self.weight).transpose(0, 1)


class Network(nn.Module):
    """Inputs, hidden layers and the outputs of each of k members; k is 1 without an ensemble.

    Args:
        inputs: What numbers and categories become.
        backbone: The hidden layers, with their ``width``.
        members: k.
        outputs: O.
        scaling: What tells the members apart before the hidden layers.
    """

    def __init__(
        self,
        inputs: Inputs,
        backbone: nn.Module,
        *,
        members: int,
        outputs: int,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.scaling, self.backbone = inputs, scaling, backbone
        self.members = members
        self.heads = Heads(members, backbone.width, outputs)  # type: ignore[arg-type]

    def hidden(
        self,
        numbers: Tensor,  # (N, P), or (N, k, P) where each member has rows of its own
        levels: Tensor,  # (N, K), or (N, k, K)
    ) -> Tensor:  # (N, k, W)
        """Return the features of the last hidden layer."""
        features = self.inputs(numbers, levels)
        if features.ndim == 2:
            features = features.unsqueeze(1).expand(-1, self.members, -1)
        if self.scaling is not None:
            features = self.scaling(features)
        out: Tensor = self.backbone(features)
        return out

    def forward(self, numbers: Tensor, levels: Tensor) -> Tensor:  # as `hidden` -> (N, k, O)
        """Return the outputs of each member: logits, or standardised predictions."""
        out: Tensor = self.heads(self.hidden(numbers, levels))
        return out
