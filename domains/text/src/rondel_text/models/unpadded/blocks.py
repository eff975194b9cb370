"""How attention sees a batch: texts of nearly one length side by side, one call per block.

B texts, T tokens, G places of all blocks (T and a little padding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondel_text.models.unpadded.layout import Layout, on, starts

CPU_CALL = 300_000
"""One more attention call on a CPU, in pairs of tokens times channels, forward and backward.

Measured: models of 64 to 768 channels are fastest with 200 000 to 600 000, and differ little.
"""
CUDA_CALL = 100_000_000
"""The same on CUDA: an estimate."""
COPY = 20
"""A token copied into blocks and back, in pairs of tokens of the same width; measured on a CPU."""


@dataclass(frozen=True)
class Cost:
    """What attention costs besides its pairs of tokens, in such pairs, forward and backward.

    Args:
        call: One more call of the attention function.
        copy: Copying a token into blocks with padding and back.
    """

    call: int
    copy: int

    @classmethod
    def on(cls, device: torch.device, *, width: int) -> Cost:
        """Return the cost for a model of so many channels."""
        return cls((CPU_CALL if device.type == "cpu" else CUDA_CALL) // width, COPY)

    def of(self, blocks: Sequence[Block]) -> int:
        """Return the cost of attending block by block."""
        pairs = sum(block.places * block.longest for block in blocks)
        tokens = 0 if all(b.tight for b in blocks) else sum(sum(b.lengths) for b in blocks)
        return pairs + self.call * len(blocks) + self.copy * tokens


@dataclass(frozen=True)
class Block:
    """Texts that one attention call sees, each padded to the longest of them.

    Args:
        lengths: Tokens of each text, longest first.
    """

    lengths: tuple[int, ...]

    @property
    def longest(self) -> int:
        """The longest text."""
        return self.lengths[0]

    @property
    def places(self) -> int:
        """Tokens and padding."""
        return len(self.lengths) * self.longest

    @property
    def tight(self) -> bool:
        """Whether all texts have one length, so that nothing is padded."""
        return self.lengths[-1] == self.longest


@dataclass(frozen=True)
class Blocks:
    """The one row that the model sees: texts sorted by length, and their blocks.

    Args:
        blocks: Of neighbouring texts, longest first.
        tokens: (T,) the token of the layout that stands at each place of the row.
        rows: (T,) the place in the row of each token of the layout: the inverse.
        sources: (G,) the token of the row that fills each place of the blocks, or None if they
            have no padding and are the row itself.
        places: (T,) the place in the blocks of each token of the row, or None likewise.
        bounds: (B + 1,) int32, where texts begin and end in the row.
    """

    blocks: tuple[Block, ...]
    tokens: Tensor
    rows: Tensor
    sources: Tensor | None
    places: Tensor | None
    bounds: Tensor

    @classmethod
    def of(cls, layout: Layout, cost: Cost) -> Blocks:
        """Sort the texts of a layout and divide them at the least cost."""
        device = layout.texts.device
        by_length = torch.argsort(layout.lengths, descending=True, stable=True)
        lengths = layout.lengths[by_length]
        blocks = divide(lengths.tolist(), cost)
        tokens = concatenated(starts(layout.lengths)[by_length], lengths)
        rows = torch.empty_like(tokens)
        rows[tokens] = torch.arange(len(tokens))
        sources, places = (None, None) if all(b.tight for b in blocks) else grid(blocks, lengths)
        bounds = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()
        return cls(
            blocks,
            tokens=on(device, tokens),
            rows=on(device, rows),
            sources=None if sources is None else on(device, sources),
            places=None if places is None else on(device, places),
            bounds=on(device, bounds),
        )


def divide(lengths: Sequence[int], cost: Cost) -> tuple[Block, ...]:
    """Put texts of one length into blocks, or of nearly one length if that costs less.

    Args:
        lengths: Longest first.
        cost: Of calls and copies.
    """
    return min(joined(lengths, cost.call), joined(lengths, 0), key=cost.of)


def joined(lengths: Sequence[int], allowance: int) -> tuple[Block, ...]:
    """Let a text join the block of its neighbour while all padding of the block is affordable.

    Args:
        lengths: Longest first.
        allowance: Pairs of tokens that padding may cost in a block: as many as a call.
    """
    blocks: list[list[int]] = []
    waste = 0
    for length in lengths:
        if blocks:
            waste += blocks[-1][0] ** 2 - length**2
        if blocks and waste <= allowance:
            blocks[-1].append(length)
        else:
            blocks.append([length])
            waste = 0
    return tuple(Block(tuple(block)) for block in blocks)


def grid(blocks: Sequence[Block], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return what fills each place of the blocks, and the place of each token of the row.

    Padding is filled with the last token of its text: it needs a number, and has no influence.
    """
    padded = torch.cat([torch.full((len(b.lengths),), b.longest) for b in blocks])
    places = concatenated(starts(padded), lengths)
    begins = starts(lengths).repeat_interleave(padded)
    column = concatenated(torch.zeros_like(padded), padded)
    return begins + column.minimum((lengths - 1).repeat_interleave(padded)), places


def concatenated(begins: Tensor, lengths: Tensor) -> Tensor:
    """Return ranges end to end: ``begins[0], begins[0] + 1, ...``, then those of the next."""
    offsets = (begins - starts(lengths)).repeat_interleave(lengths)
    return torch.arange(len(offsets)) + offsets
