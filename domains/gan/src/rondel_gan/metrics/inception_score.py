"""How sure a classifier is of single samples, and how unsure of all of them together.

Shapes: probabilities (N, K).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from rondel.errors import UsageError

SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """Mean and deviation over the splits; from 1 to the number of classes."""

    mean: float
    deviation: float


def inception_score(probabilities: Tensor, *, splits: int = SPLITS) -> InceptionScore:
    """Return ``exp(E KL(p(y|x) || p(y)))`` of a classifier's probabilities, split by split.

    Salimans et al., 2016, section 4, with any classifier in place of Inception. It does not look
    at real images: one perfect sample of each class has the best score there is.

    Args:
        probabilities: (N, K), rows sum to 1.
        splits: Parts, of neighbouring rows, that are scored each for itself.

    Raises:
        UsageError: There are more splits than rows.
    """
    if not 1 <= splits <= len(probabilities):
        raise UsageError(
            f"{len(probabilities)} rows cannot be cut into {splits} splits",
            hint=f"Take from 1 to {len(probabilities)} splits.",
        )
    edges = [number * len(probabilities) // splits for number in range(splits + 1)]
    scores = torch.stack([score(probabilities[a:b].double()) for a, b in pairwise(edges)])
    return InceptionScore(float(scores.mean()), float(scores.std(correction=0)))


def score(probabilities: Tensor) -> Tensor:
    """Return the score of one split, a scalar; ``0 log 0`` is 0."""
    together = probabilities.mean(dim=0)
    own = torch.xlogy(probabilities, probabilities)
    # a class of no probability at all has 0 log 0 here too
    shared = torch.xlogy(probabilities, together)
    return (own - shared).sum(dim=1).mean().exp()
