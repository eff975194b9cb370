"""How much nearer a text is to its partner than to the partners of the others.

The partners of the other pairs are the negatives (Henderson et al., 2017, section 4.4); the loss is
InfoNCE (van den Oord et al., 2018, eq. 4) on cosines over a temperature.

Letters: N pairs that are compared with each other, B of them, H width of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 1024
"""Pairs that are compared with all others at a time: what (N, N) cosines would take is not held."""


@dataclass(frozen=True)
class Contrast:
    """The loss of pairs that are told from each other.

    Args:
        temperature: What cosines are divided by.
        symmetric: The second text of a pair has to find the first one as well.
    """

    temperature: float
    symmetric: bool

    def losses(self, pairs: Tensor, keys: Tensor, rows: Tensor) -> Tensor:
        """Return the losses of some pairs against all: (B,).

        Args:
            pairs: (N, 2, H) embeddings of length 1.
            keys: (N, 2) int64, equal for equal texts. A pair that shares a text with another one is
                no negative of it: its own would be a right answer.
            rows: (B,) which pairs.
        """
        first, second = pairs.unbind(1)
        right = (keys[rows][:, None] == keys).any(2)  # (B, N)
        right[torch.arange(len(rows), device=rows.device), rows] = False
        found = self._missed(first[rows] @ second.T, right, rows)
        if self.symmetric:
            found = (found + self._missed(second[rows] @ first.T, right, rows)) / 2
        return found

    def _missed(self, cosines: Tensor, right: Tensor, rows: Tensor) -> Tensor:
        logits = (cosines / self.temperature).masked_fill(right, -torch.inf)
        return F.cross_entropy(logits, rows, reduction="none")

    def cached(self, pairs: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (N,), and the gradient of their sum by the embeddings (N, 2, H)."""
        leaf = pairs.detach().requires_grad_()
        gradient, losses = torch.zeros_like(pairs), []
        for rows in torch.split(torch.arange(len(pairs), device=pairs.device), CHUNK):
            losses.append(self.losses(leaf, keys, rows))
            gradient += torch.autograd.grad(losses[-1].sum(), leaf)[0]
        return torch.cat(losses).detach(), gradient
