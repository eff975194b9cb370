"""How well texts find their partners among all of a set: ranks and loss of pairs of embeddings.

Letters: B pairs of a batch, N of the set, M distinct second texts, H width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from rondel_text.contrast import CHUNK, Contrast
from rondel_text.metrics.ranking import RetrievalScores, ranks_of

RECALLS = (1, 10)


class PairRetrieval:
    """Recall at 1 and 10, mean reciprocal rank, and the loss of each pair against all others.

    The embeddings are kept, for a rank needs all candidates; cosines are computed block by block.

    Args:
        contrast: The loss.
    """

    def __init__(self, contrast: Contrast) -> None:
        self._contrast = contrast
        self._pairs: list[Tensor] = []
        self._keys: list[Tensor] = []

    def update(self, pairs: Tensor, keys: Tensor) -> Self:
        """Add a batch: embeddings (B, 2, H) of length 1, and keys (B, 2), equal for equal texts."""
        self._pairs.append(pairs.detach())
        self._keys.append(keys)
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the pairs of another process."""
        if len(state["keys"]):  # one without a share has no width
            device = self._keys[0].device if self._keys else state["keys"].device
            self.update(state["pairs"].to(device), state["keys"].to(device))

    def state_dict(self) -> dict[str, Any]:
        """Return all pairs so far, on the CPU."""
        pairs = torch.cat(self._pairs) if self._pairs else torch.zeros(0, 2, 0)
        keys = torch.cat(self._keys) if self._keys else torch.zeros(0, 2, dtype=torch.int64)
        return {"pairs": pairs.cpu(), "keys": keys.cpu()}

    def compute(self) -> dict[str, float]:
        """Return recall@1, recall@10, mrr and loss; NaN if nothing was added."""
        if not sum(map(len, self._keys)):
            return {"loss": math.nan, **RetrievalScores(RECALLS).compute()}
        pairs, keys = torch.cat(self._pairs), torch.cat(self._keys)
        first, second = pairs.unbind(1)
        candidates, positives = distinct(keys[:, 1])
        ranks = ranks_of(first, second[candidates], positives)
        return {"loss": self._loss(pairs, keys), **scored(ranks, keys[:, 0])}

    def _loss(self, pairs: Tensor, keys: Tensor) -> float:
        blocks = torch.split(torch.arange(len(pairs), device=pairs.device), CHUNK)
        sums = [self._contrast.losses(pairs, keys, rows).double().sum() for rows in blocks]
        return torch.stack(sums).sum().item() / len(pairs)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each distinct key first stands, (M,), and for each key which one it is, (N,)."""
    values, which = torch.unique(keys, return_inverse=True)
    places = torch.arange(len(keys), device=keys.device)
    first = places.new_full((len(values),), len(keys))
    return first.scatter_reduce(0, which, places, "amin"), which


def scored(ranks: Tensor, queries: Tensor) -> dict[str, float]:
    """Return recalls and mean reciprocal rank; a text with several partners has to find one.

    Args:
        ranks: (N,) float64, of the partner in each pair.
        queries: (N,) keys of the texts that look for them.
    """
    first, which = distinct(queries)
    best = ranks.new_full((len(first),), torch.inf).scatter_reduce(0, which, ranks, "amin")
    return RetrievalScores(RECALLS).update(best).compute()
