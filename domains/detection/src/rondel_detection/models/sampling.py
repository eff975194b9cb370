"""Random samples of candidates that depend on the image alone, never on its batch.

torchvision draws a permutation from the global generator, so that a batch in two pieces, or on two
processes, would see other samples. Here every candidate has a number that is a function of (seed of
the image, use, position), and those with the largest numbers are taken. Letters: B images,
N candidates, S samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rondel.keyed import uniform

PROPOSAL_STREAM = 1
REGION_STREAM = 2


class Sample(NamedTuple):
    """The chosen candidates of every image, positive ones first."""

    rows: Tensor  # (B, S) int64 position of the candidate
    taken: Tensor  # (B, S) bool: False where the image has too few candidates

    @property
    def weight(self) -> Tensor:
        """(B, S) one over the number of samples of the image, 0 where there is none."""
        return self.taken / self.taken.sum(1, keepdim=True).clamp(min=1)


@torch.no_grad()
def draw_sample(
    positive: Tensor, negative: Tensor, seeds: Tensor, *, stream: int, count: int, most: int
) -> Sample:
    """Draw ``count`` candidates of every image: up to ``most`` positive ones, the rest negative.

    Args:
        positive: (B, N) bool.
        negative: (B, N) bool.
        seeds: (B,) int64, one for each image.
        stream: Tells the uses of a seed apart.
        count: Samples of an image.
        most: Positive ones among them, at most.
    """
    size = positive.shape[1]
    numbers = uniform(seeds, size, stream)  # (B, N) in [0, 1)
    bar = numbers.where(positive, -1).topk(min(most, size)).values[:, -1:]
    chosen = positive & (numbers >= bar)
    order = (numbers + 1).where(chosen, numbers.where(negative, -1))
    best = order.topk(min(count, size))
    return Sample(best.indices, best.values >= 0)
