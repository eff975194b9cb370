"""The default network: category embeddings beside standardised numbers, then an MLP.

Shapes: N rows, P numeric features, K categorical columns, E features of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from rondel_tabular.config import NetworkConfig, TabularConfig
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import Target

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class MLP(nn.Module):
    """A multi-layer perceptron over numbers and embedded categories.

    Args:
        numbers: P, the number of numeric features.
        levels: How many levels each categorical column has, 'unknown' included; K entries.
        outputs: Classes, or 1 for a regression.
        config: Widths, activation, dropout, embedding size.
    """

    first_levels: Tensor  # (K,) where each column's rows begin in the one table of embeddings

    def __init__(
        self, *, numbers: int, levels: Sequence[int], outputs: int, config: NetworkConfig
    ) -> None:
        super().__init__()
        # one table for all columns: one lookup instead of K
        self.embed = nn.Embedding(sum(levels), config.embedding) if levels else None
        if self.embed is not None:
            bound = config.embedding**-0.5
            nn.init.uniform_(self.embed.weight, -bound, bound)
        starts = torch.tensor([0, *accumulate(levels)][: len(levels)], dtype=torch.int64)
        self.register_buffer("first_levels", starts, persistent=False)
        sizes = [numbers + len(levels) * config.embedding, *config.widths]
        self.hidden = nn.Sequential(
            *(layer for sizes_of in pairwise(sizes) for layer in hidden_layer(*sizes_of, config))
        )
        self.head = nn.Linear(sizes[-1], outputs)

    def forward(
        self,
        numbers: Tensor,  # (N, P) standardised
        levels: Tensor,  # (N, K) level of each category, 0 is 'unknown'
    ) -> Tensor:  # (N, outputs)
        """Return logits, or the standardised prediction of a regression."""
        if self.embed is not None:
            embedded = self.embed(levels + self.first_levels)  # (N, K, E)
            numbers = torch.cat([numbers, embedded.flatten(1)], dim=1)
        outputs: Tensor = self.head(self.hidden(numbers))
        return outputs


def hidden_layer(inputs: int, outputs: int, config: NetworkConfig) -> list[nn.Module]:
    """Return one hidden layer: linear map, activation, dropout if there is any."""
    layers: list[nn.Module] = [nn.Linear(inputs, outputs), ACTIVATIONS[config.activation]()]
    return [*layers, nn.Dropout(config.dropout)] if config.dropout else layers


def make_network(schema: Schema, target: Target, config: TabularConfig) -> MLP:
    """Make the network for a schema, with fresh weights."""
    return MLP(
        numbers=schema.numbers,
        levels=schema.levels,
        outputs=target.outputs,
        config=config.network,
    )
