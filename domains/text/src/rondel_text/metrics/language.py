"""How well a language model predicts text: perplexity per token and bits per byte.

Shapes: N texts, T positions.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from rondel.metric import SumMetric, zero
from rondel_text.metrics.shapes import misfit


class Perplexity(SumMetric):
    """Perplexity per token and bits per byte, from three sums: nats, tokens, bytes.

    Perplexity depends on the tokenizer; bits per byte compares models with different ones.
    """

    def __init__(self) -> None:
        super().__init__(nats=zero(), tokens=zero().long(), size_bytes=zero().long())

    def update(self, losses: Tensor, counted: Tensor, *, size_bytes: Tensor) -> Self:
        """Add a batch.

        Args:
            losses: (N, T) negative log-likelihood of each token, nats.
            counted: (N, T) booleans, false for padding and for tokens that are only context.
            size_bytes: (N,) length in UTF-8 of the text that the counted tokens make up, bytes.
        """
        if (
            losses.ndim != 2
            or counted.shape != losses.shape
            or size_bytes.shape != losses.shape[:1]
        ):
            raise misfit(
                "losses (N, T), counted (N, T), size_bytes (N,)",
                losses=losses,
                counted=counted,
                size_bytes=size_bytes,
            )
        counted = counted.bool()
        # padding may hold anything, infinity and NaN included: a product with 0 would keep it
        nats = torch.where(counted, losses.detach().double(), 0.0).sum()
        self.add(nats=nats, tokens=counted.sum(), size_bytes=size_bytes.sum())
        return self

    def compute(self) -> dict[str, float]:
        """Return perplexity, exp(nats / tokens), and bits_per_byte, nats / (ln 2 * bytes).

        Perplexity is that of Jelinek et al. (1977); bits per byte is the code length of Shannon
        (1948) per byte. NaN if nothing was added, or if a counted loss was NaN.
        """
        nats = self["nats"]
        return {
            "perplexity": (nats / self["tokens"]).exp().item(),
            "bits_per_byte": (nats / self["size_bytes"] / math.log(2)).item(),
        }
