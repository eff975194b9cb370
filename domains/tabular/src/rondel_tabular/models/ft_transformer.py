"""A transformer over the columns of a row (Gorishniy et al., 2021, section 3.3: FT-Transformer).

Shapes: N rows, P numbers, K categories, W features of a token, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Attention and a gated layer (ReGLU), each after a norm and beside the unchanged tokens."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.project = nn.Linear(width, 3 * width)
        self.collect = nn.Linear(width, width)
        self.gate = nn.Linear(width, 4 * width)
        self.close = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:  # (N, L, W) -> (N, L, W)
        """Return the tokens after one block."""
        tokens = tokens + self.dropout(self.attend(self.norms[0](tokens)))
        value, gate = self.gate(self.norms[1](tokens)).chunk(2, dim=-1)
        out: Tensor = tokens + self.dropout(self.close(value * gate.relu()))
        return out

    def attend(self, tokens: Tensor) -> Tensor:  # (N, L, W) -> (N, L, W)
        """Return what each token gathers from all of them.

        Written out: a row has few columns, and the fused kernels have no rule for vmap.
        """
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.project(tokens).chunk(3, dim=-1)
        )
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
        mixed = self.dropout(scores.softmax(dim=-1)) @ values
        found: Tensor = self.collect(mixed.transpose(1, 2).flatten(2))
        return found


class FTTransformer(nn.Module):
    """Each column is a token; the outputs are read from one more.

    Args:
        numbers: What numbers become, W features each; None where there are none.
        levels: How many levels each category has, 'unknown' included; K entries.
        width: W.
        layers: Of the encoder.
        heads: Of the attention.
        dropout: Share of features left out.
        outputs: O.

    Raises:
        ValueError: The heads do not divide the width.
    """

    first_levels: Tensor  # (K,)

    def __init__(
        self,
        numbers: nn.Module | None,
        levels: Sequence[int],
        *,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        outputs: int,
    ) -> None:
        super().__init__()
        self.members = 1
        self.numbers = numbers
        self.embed = nn.Embedding(sum(levels), width) if levels else None
        starts = torch.tensor([0, *accumulate(levels)][: len(levels)], dtype=torch.int64)
        self.register_buffer("first_levels", starts, persistent=False)
        self.first = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5))
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))

    def hidden(self, numbers: Tensor, levels: Tensor) -> Tensor:  # -> (N, 1, W)
        """Return the features of the token that the outputs are read from."""
        if numbers.ndim == 3:  # rows of its own for the one member
            numbers, levels = numbers.squeeze(1), levels.squeeze(1)
        width = len(self.first)
        tokens = [self.first.expand(len(numbers), 1, width)]
        if self.numbers is not None:
            tokens.append(self.numbers(numbers).unflatten(-1, (-1, width)))
        if self.embed is not None:
            tokens.append(self.embed(levels.long() + self.first_levels))
        out: Tensor = self.blocks(torch.cat(tokens, dim=1))[:, :1]
        return out

    def forward(self, numbers: Tensor, levels: Tensor) -> Tensor:  # -> (N, 1, O)
        """Return logits, or standardised predictions."""
        out: Tensor = self.heads(self.hidden(numbers, levels))
        return out
