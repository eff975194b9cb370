"""Where the tokens of each text of a batch are: everything that its lengths alone decide.

B texts, L longest text of the padded batch, T tokens in all, H width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rondel.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """The tokens of a batch, text after text, in the order of the batch.

    Args:
        lengths: (B,) tokens of each text, in memory of the host.
        texts: (T,) the text of each token, on the device.
        positions: (T,) the position of each token in its text, on the device.
    """

    lengths: Tensor
    texts: Tensor
    positions: Tensor

    @classmethod
    def of(cls, lengths: Tensor | Sequence[int], *, device: torch.device | str = "cpu") -> Layout:
        """Lay out texts of these lengths.

        Lengths on a device are read back, which waits for it once; keep them on the host.

        Raises:
            UsageError: There is no text, or one without a token.
        """
        host = torch.as_tensor(lengths).to("cpu", torch.int64)
        if host.ndim != 1 or not len(host) or int(host.min()) < 1:
            raise UsageError(
                f"text lengths {host.flatten()[:8].tolist()}, shape {tuple(host.shape)}",
                hint="Give one length per text, each at least 1: an empty text has no state.",
            )
        texts = torch.arange(len(host)).repeat_interleave(host)
        positions = torch.arange(len(texts)) - starts(host)[texts]
        return cls(host, on(device, texts), on(device, positions))

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """The number of tokens, T."""
        return len(self.texts)

    @cached_property
    def longest(self) -> int:
        """The longest text."""
        return int(self.lengths.max())

    @cached_property
    def first(self) -> Tensor:
        """The first token of each text: (B,), to index what is flat."""
        return on(self.texts.device, starts(self.lengths))

    @cached_property
    def last(self) -> Tensor:
        """The last token of each text: (B,), to index what is flat."""
        return on(self.texts.device, self.lengths.cumsum(0) - 1)

    def flatten(self, padded: Tensor) -> Tensor:
        """Return what a padded batch holds for its tokens: (B, L, ...) to (T, ...).

        Args:
            padded: Ids, labels or anything else with a value per token; what lies behind the end
                of a text is left out.
        """
        return padded[self.texts, self.positions]

    def mask(self, width: int) -> Tensor:
        """Return where a padded batch has tokens: (B, width), 1 or 0."""
        lengths = on(self.texts.device, self.lengths)
        return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()


def starts(lengths: Tensor) -> Tensor:
    """Return where pieces of these lengths begin if they lie end to end."""
    return lengths.cumsum(0) - lengths


def on(device: torch.device | str, indices: Tensor) -> Tensor:
    """Move indices to the device; from pinned memory, for any other copy waits for the device."""
    if torch.device(device).type != "cuda":
        return indices.to(device)
    return indices.pin_memory().to(device, non_blocking=True)
