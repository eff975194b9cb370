"""What followed the last time that the latest bytes stood in a text: a text repeats its own words.

The idea is that of the match models of compressors (Mahoney, 2005: lpaq) and of the induction heads
of transformers (Olsson et al., 2022), here with nothing to learn but what a match is worth.

Letters: B texts, L bytes of the longest, D width, T bytes of all that was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

BYTES = 256
START = 256
"""Stands before the first byte of a text; and for what followed, where nothing has."""
MULTIPLIER = 0x9E3779B1  # Knuth's: 2 to the 32 over the golden ratio, odd
SIZES = (3, 5, 8)
"""How many bytes have to be the same."""


class Recall(nn.Module):
    """A vector for what followed the latest match of each size, added up.

    Args:
        width: D.
        sizes: How many bytes have to be the same.
    """

    def __init__(self, width: int, sizes: Sequence[int] = SIZES) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.vectors = nn.Embedding(len(self.sizes) * (BYTES + 1), width)
        nn.init.zeros_(self.vectors.weight)

    def forward(self, seen: Tensor, length: int) -> Tensor:
        """Return (B, L, D) for the last ``length`` bytes of those that were seen.

        Args:
            seen: (B, T) int64, from 0 to 256.
            length: L.
        """
        found = [
            followers(seen, size)[:, -length:] + place * (BYTES + 1)
            for place, size in enumerate(self.sizes)
        ]
        summed: Tensor = self.vectors(torch.stack(found, 2)).sum(2)
        return summed


def followers(seen: Tensor, size: int) -> Tensor:
    """Return for each place what followed when its last ``size`` bytes stood there before.

    Args:
        seen: (B, T) int64.
        size: Bytes that have to be the same.

    Returns:
        (B, T) int64, the byte behind the latest such place before; `START` where they are new.
    """
    number = seen
    for back in range(1, size):
        earlier = pad(seen, (back, 0), value=START)[:, : seen.shape[1]]
        number = (number * MULTIPLIER + earlier + 1) % (1 << 31)
    numbers, order = number.sort(dim=1, stable=True)
    again = numbers[:, 1:] == numbers[:, :-1]
    place = torch.full_like(seen, -1)
    place.scatter_(1, order[:, 1:], torch.where(again, order[:, :-1], -1))
    return torch.where(place < 0, START, seen.gather(1, place + 1))
