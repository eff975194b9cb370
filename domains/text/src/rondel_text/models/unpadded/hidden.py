"""What an encoder returns: a state per token, and what heads take from it.

B texts, L longest text, T tokens, H width, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rondel_text.models.unpadded.layout import Layout, on
from rondel_text.models.unpadded.rows import take


@dataclass(frozen=True)
class Hidden:
    """The states of the tokens of a batch.

    Args:
        rows: (R, H) states in the order of the computation.
        places: (T,) the row of each token, text after text in the order of the batch.
        layout: Of the batch.
    """

    rows: Tensor
    places: Tensor
    layout: Layout

    @property
    def flat(self) -> Tensor:
        """The states of all tokens: (T, H), in the order of ``layout.flatten(ids)``."""
        return take(self.rows, self.places)

    def at(self, tokens: Tensor) -> Tensor:
        """Return the states of some tokens: (K, H).

        Args:
            tokens: (K,) indices into the flat tokens, none twice.
        """
        return take(self.rows, self.places[tokens])

    def first(self) -> Tensor:
        """Return the states of the first tokens: (B, H)."""
        return self.at(self.layout.first)

    def last(self) -> Tensor:
        """Return the states of the last tokens: (B, H)."""
        return self.at(self.layout.last)

    def mean(self) -> Tensor:
        """Return the mean state of each text: (B, H)."""
        flat, layout = self.flat, self.layout
        sums = flat.new_zeros(len(layout), flat.shape[1]).index_add(0, layout.texts, flat)
        return sums / on(flat.device, layout.lengths)[:, None]

    def padded(self) -> Tensor:
        """Return the states as a padded batch: (B, L, H), zero behind the end of a text."""
        layout, flat = self.layout, self.flat
        padded = flat.new_zeros(len(layout) * layout.longest, flat.shape[1])
        places = layout.texts * layout.longest + layout.positions
        return padded.index_copy(0, places, flat).view(len(layout), layout.longest, -1)
