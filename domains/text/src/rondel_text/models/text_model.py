"""What every model of this package looks like to the loops.

Letters: B texts, L tokens of the longest, C outputs, K chosen tokens, V tokens that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rondel_text.data.batch import Texts


class TextModel(nn.Module):
    """A network that reads `Texts`.

    Attributes:
        reading: How it is computed, for the user.
    """

    reading: str = ""

    def forward(self, texts: Texts) -> Tensor:
        """Return logits: (B, C) for whole texts, (B, L, C) for tokens."""
        raise NotImplementedError

    def at(self, texts: Texts, chosen: Tensor) -> Tensor:
        """Return what stands, or follows, at chosen tokens: logits (K, V).

        Args:
            texts: The batch.
            chosen: (B, L) bool.
        """
        raise NotImplementedError

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the parts in the order in which they are unfrozen: the head first."""
        raise NotImplementedError

    def to_facts(self) -> dict[str, Any]:
        """Return the plain values that rebuild the architecture."""
        raise NotImplementedError
