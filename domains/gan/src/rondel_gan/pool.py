"""Past images for a discriminator, so that it does not forget (Shrivastava et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rondel import Run, keyed

SWAPPED = 0.5
"""Share of the images that are exchanged for past ones."""


class Pool:
    """Holds up to ``size`` past images; every process holds the same.

    Args:
        size: How many; 0 hands every image through.
        name: Of the pool, for its randomness.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.name = name
        self._kept: Tensor | None = None

    def exchange(self, run: Run, images: Tensor, batch: int) -> Tensor:
        """Return images, about half of them past ones in whose place the new ones are kept.

        Until the pool is full, images are kept and handed through. What is exchanged depends on
        the whole batch over all processes and its number alone.

        Args:
            run: The run.
            images: (N, C, H, W) this process' share.
            batch: The number of the batch.
        """
        if not self.size or run.replaying:
            return images
        processes = run.processes
        shares = [part.to(images) for part in processes.gather(images)]
        whole = torch.cat(shares)
        draw = keyed.generator(run.settings.seed, self.name, batch)
        exchanged = self._exchanged(whole, draw)
        start = sum(len(part) for part in shares[: processes.rank])
        return exchanged[start : start + len(images)]

    def _exchanged(self, new: Tensor, draw: torch.Generator) -> Tensor:
        kept = new[:0] if self._kept is None else self._kept.to(new)
        room = self.size - len(kept)
        if room > 0:
            self._kept = torch.cat([kept, new[:room]])
            return new
        slots = torch.randperm(self.size, generator=draw)[: len(new)]
        rows = torch.arange(len(slots))[torch.rand(len(slots), generator=draw) < SWAPPED]
        slots = slots[rows].to(new.device)
        rows = rows.to(new.device)
        handed, stored = new.clone(), kept.clone()
        handed[rows] = kept[slots]
        stored[slots] = new[rows]
        self._kept = stored
        return handed

    def state_dict(self) -> dict[str, Any]:
        """Return the images."""
        return {"kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self._kept = None if state["kept"] is None else state["kept"].clone()
