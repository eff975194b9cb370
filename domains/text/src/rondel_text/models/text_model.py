"""What every model of this package looks like to the loops.

Letters: B texts, L tokens of the longest, C outputs, K chosen tokens, V tokens that there are,
H width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rondel_text.data.batch import Texts


class TextModel(nn.Module):
    """A network that reads `Texts`.

    Attributes:
        reading: How it is computed, for the user, if there are several ways.
        adapters: What of it is trained, for the user, if that is adapters and the head.
    """

    reading: str = ""
    adapters: str = ""

    def forward(self, texts: Texts) -> Tensor:
        """Return logits: (B, C) for whole texts, (B, L, C) for tokens; or embeddings (B, H)."""
        raise NotImplementedError

    @property
    def embedding(self) -> nn.Module | None:
        """What turns tokens into vectors, if that is one module: (B, L) into (B, L, H)."""
        return None

    @property
    def bounds(self) -> Tensor | None:
        """While it is called: (B + 1,) where texts begin and end, if they stand in one row."""
        return None

    @property
    def width(self) -> int:
        """H, of a model that answers with embeddings."""
        raise NotImplementedError

    def at(self, texts: Texts, chosen: Tensor) -> Tensor:
        """Return what stands, or follows, at chosen tokens: logits (K, V).

        Args:
            texts: The batch.
            chosen: (B, L) bool.
        """
        raise NotImplementedError

    def is_faster_padded(self, texts: Texts) -> bool:  # noqa: ARG002 - there is one way only
        """Tell by a measurement on a batch whether padding costs less than doing without it."""
        return True

    def compute(self, *, padded: bool) -> None:
        """Compute with padding from now on, or without where that is exact."""

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the parts in the order in which they are unfrozen: the head first."""
        raise NotImplementedError

    def merged(self) -> TextModel:
        """Return the model as it is kept: itself, or a copy whose adapters are in its weights."""
        if not self.adapters:
            return self
        from rondel_text.models import lora

        made = lora.merged(self)
        made.adapters = ""
        return made

    def to_facts(self) -> dict[str, Any]:
        """Return the plain values that rebuild the architecture."""
        raise NotImplementedError
