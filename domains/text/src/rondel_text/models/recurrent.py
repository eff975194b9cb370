"""A language model of bytes: what comes next, given all that came before.

Besides the byte itself, the network is told the last 2, 3, ... bytes as hashed vectors: it need not
learn to spell before it learns to read, which takes most of the time otherwise; and it is told what
followed when they stood there before. Its memory is a
running mean of which every gate depends on the text alone (Bradbury et al., 2017; Lei et al.,
2018), so that all matrices are multiplied for all bytes at once.

Letters: B texts, L bytes of the longest, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rondel_text.models.recall import BYTES, MULTIPLIER, SIZES, START, Recall


class State(NamedTuple):
    """What a text has left behind, to go on reading it."""

    memory: Tensor  # (layers, B, D)
    before: Tensor  # (B, T) int64, its bytes, behind as many of `START` as are looked back at


class History(nn.Module):
    """The vectors of the last bytes, taken 1, 2, ... ``longest`` at a time, added up.

    Args:
        width: D.
        longest: Bytes of the longest group.
        buckets: Numbers that the groups of each length are hashed into.
    """

    def __init__(self, width: int, *, longest: int, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.single = nn.Embedding(BYTES + 1, width)
        self.longest = longest
        self.groups = nn.Embedding((longest - 1) * buckets, width)
        nn.init.zeros_(self.groups.weight)

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:
        """Return (B, L, D).

        Args:
            tokens: (B, L) int64, from 0 to 256.
            before: (B, longest - 1) int64, what came before them.
        """
        length = tokens.shape[1]
        longer = torch.cat((before, tokens), 1)
        vectors: Tensor = self.single(tokens)
        number = tokens
        for back in range(1, self.longest):
            end = longer.shape[1] - back
            number = (number * MULTIPLIER + longer[:, end - length : end] + 1) % (1 << 31)
            # the low bits of a product tell little of its factors
            bucket = (number >> 7) % self.buckets
            vectors = vectors + self.groups(bucket + (back - 1) * self.buckets)
        return vectors


class Memory(nn.Module):
    """A recurrent layer: each value keeps a share of what it was and takes the rest from the text.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gates = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, read: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, L, D) what is read and remembered, and the memory (B, D) at the end.

        Args:
            read: (B, L, D).
            memory: (B, D) before the first byte.
        """
        news, kept, shown = self.gates(self.norm(read)).chunk(3, 2)
        steps = []
        for new, keep in zip(news.tanh().unbind(1), kept.sigmoid().unbind(1), strict=True):
            memory = torch.lerp(new, memory, keep)
            steps.append(memory)
        return read + self.output(torch.stack(steps, 1) * shown.sigmoid()), memory


class ByteModel(nn.Module):
    """Tell the next byte of a text.

    Args:
        width: D.
        layers: Number of recurrent layers.
        longest: Bytes that are looked up at once; 1 for no groups.
        buckets: Numbers that the groups of each length are hashed into.
        recalled: How many of the latest bytes have to be the same for what followed to be recalled.
        dropout: Chance of each value before and behind the recurrent layers to be left out in
            training.
    """

    def __init__(
        self,
        *,
        width: int = 160,
        layers: int = 1,
        longest: int = 6,
        buckets: int = 1 << 13,
        recalled: Sequence[int] = SIZES,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.history = History(width, longest=longest, buckets=buckets)
        self.recall = Recall(width, recalled)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Memory(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, BYTES)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return logits (B, L, 256) of the byte behind each token, and the state to go on with.

        A byte is told from those before it alone, so what pads the end of a text changes nothing
        but the state.

        Args:
            tokens: (B, L) int64: `START` and the bytes of a text but for the last; L is at least 1.
            state: Of the part before; None at the start of a text.
        """
        state = state or self.start(tokens)
        seen = torch.cat((state.before, tokens), 1)
        latest = state.before[:, state.before.shape[1] - self.history.longest + 1 :]
        told = self.history(tokens, latest) + self.recall(seen, tokens.shape[1])
        read = self.dropout(told)
        memories = []
        for layer, before in zip(self.layers, state.memory, strict=True):
            read, memory = layer(read, before)
            memories.append(memory)
        logits: Tensor = self.output(self.dropout(self.norm(read)))
        return logits, State(torch.stack(memories), seen)

    def start(self, tokens: Tensor) -> State:
        """Return the state before anything was read."""
        size, width = len(tokens), self.output.in_features
        memory = self.output.weight.new_zeros(len(self.layers), size, width)
        return State(memory, tokens.new_full((size, self.history.longest - 1), START))
