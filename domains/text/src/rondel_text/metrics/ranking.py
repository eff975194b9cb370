"""How good a retrieval is: recall at k and mean reciprocal rank, and ranks from embeddings.

Shapes: N queries, M candidates, D dimensions of the embedding, B queries of one chunk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from rondel.metric import zero
from rondel_text.metrics.means import Means
from rondel_text.metrics.shapes import misfit

_ROUNDING = 1e-12  # of a float64 dot product, relative to the lengths of the vectors; generous


class RetrievalScores(Means):
    """Recall at several k, and the mean reciprocal rank (Voorhees, 1999), shares in 0..1.

    Args:
        ks: How many candidates are looked at.
    """

    def __init__(self, ks: Sequence[int] = (1, 5, 10)) -> None:
        super().__init__(*(f"recall@{k}" for k in ks), "mrr")
        self._ks = tuple(ks)

    def update(self, ranks: Tensor) -> Self:
        """Add queries: ``ranks`` (N,) of their positive from 1; infinite if it was not found.

        What is no rank, such as NaN or 0, counts as not found.
        """
        if ranks.ndim != 1:
            raise misfit("ranks (N,), one per query", ranks=ranks)
        ranks = ranks.detach().double()
        ranks = torch.where(ranks >= 1, ranks, math.inf)
        recalls = {f"recall@{k}": ranks <= k for k in self._ks}
        self.add(mrr=1.0 / ranks, **recalls)
        return self


def ranks_of(
    queries: Tensor, candidates: Tensor, positives: Tensor, *, chunk: int = 1024
) -> Tensor:
    """Return the rank from 1 of each query's positive by dot product, (N,) float64.

    The rank is pessimistic: candidates that score the same as the positive, up to rounding, stand
    before it, so equal embeddings get the last rank, and so does a duplicate of the positive. A
    candidate that scores NaN stands before it too; a positive that does not score a finite number
    has rank infinity.

    Args:
        queries: (N, D); normalise both sides for the cosine.
        candidates: (M, D).
        positives: (N,) index of each query's positive among the candidates.
        chunk: Queries and candidates compared at a time; memory is of the order of its square.

    Raises:
        UsageError: The shapes do not fit.
    """
    _check_embeddings(queries, candidates, positives)
    ranks = [
        _ranks(some.double(), candidates[places].double(), candidates, chunk)
        for some, places in zip(
            torch.split(queries, chunk), torch.split(positives, chunk), strict=True
        )
    ]
    return torch.cat([zero(0).to(queries.device), *ranks])


def _ranks(
    queries: Tensor,  # (B, D)
    positives: Tensor,  # (B, D)
    candidates: Tensor,  # (M, D)
    chunk: int,
) -> Tensor:
    own = (queries * positives).sum(1, keepdim=True)
    lengths, own_lengths = queries.norm(dim=1, keepdim=True), positives.norm(dim=1, keepdim=True)
    behind = torch.zeros_like(own[:, 0])
    for some in torch.split(candidates, chunk):
        others = some.double()
        # the same dot product rounds differently from place to place: too small a lead is a tie
        rounding = _ROUNDING * lengths * (own_lengths + others.norm(dim=1))
        behind += (queries @ others.T < own - rounding).sum(1)
    return torch.where(own[:, 0].isfinite(), len(candidates) - behind, math.inf)


def _check_embeddings(queries: Tensor, candidates: Tensor, positives: Tensor) -> None:
    if (
        queries.ndim != 2
        or candidates.shape[1:] != queries.shape[1:]
        or positives.shape != queries.shape[:1]
    ):
        raise misfit(
            "queries (N, D), candidates (M, D), positives (N,)",
            queries=queries,
            candidates=candidates,
            positives=positives,
        )
