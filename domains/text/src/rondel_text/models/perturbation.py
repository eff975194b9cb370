"""What a model sees of a batch once its tokens are vectors, and a way to move it a little.

Letters: B texts, L tokens of the longest, T tokens in all, H width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rondel_text.data.batch import Texts
from rondel_text.models.text_model import TextModel


@dataclass(frozen=True)
class Embedded:
    """The embedded sequences of a batch.

    Args:
        vectors: (B, L, H), or (1, T, H) where all texts stand in one row.
        bounds: (B + 1,) where they begin and end in the row; None if each has its own.
    """

    vectors: Tensor
    bounds: Tensor | None

    def along(self, gradient: Tensor, size: float) -> Tensor:
        """Return the gradient with the norm ``size`` in each text; 0 where a text has none."""
        squares = gradient.square().sum(-1, keepdim=True)  # (B, L, 1) or (1, T, 1)
        sums = squares.sum(1, keepdim=True) if self.bounds is None else self._per_text(squares)
        norms: Tensor = sums.sqrt().clamp(min=torch.finfo(sums.dtype).tiny)
        return size * gradient / norms

    def _per_text(self, squares: Tensor) -> Tensor:
        """Give each token of the row, (1, T, 1), the sum of its text."""
        assert self.bounds is not None
        lengths = self.bounds.diff()
        which = torch.arange(len(lengths), device=lengths.device)
        texts = which.repeat_interleave(lengths, output_size=squares.shape[1])
        sums = squares.new_zeros(len(lengths), 1).index_add(0, texts, squares[0])
        return sums[texts][None]


@contextmanager
def embedded(model: TextModel) -> Iterator[list[Embedded]]:
    """Collect the embedded sequences of each call of a model."""
    found: list[Embedded] = []

    def note(_: nn.Module, __: object, vectors: Tensor) -> None:
        # frozen vectors, as below adapters, would have no gradient
        found.append(Embedded(vectors.requires_grad_(), model.bounds))

    with hooked(model, note):
        yield found


@contextmanager
def perturbed(model: TextModel, by: Tensor) -> Iterator[None]:
    """Add something to the embedded sequences of a model, for a while.

    Args:
        model: Its `embedding` is one module.
        by: As large as what `embedded` has found of the same batch.
    """

    def move(_: nn.Module, __: object, vectors: Tensor) -> Tensor:
        return vectors + by

    with hooked(model, move):
        yield


@contextmanager
def hooked(model: TextModel, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """Let a hook see, and replace, what the embedding of a model returns."""
    assert model.embedding is not None, "is_reachable was asked before"
    handle = model.embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def is_reachable(model: TextModel, texts: Texts) -> bool:
    """Tell whether a model looks each token up once, in a module whose output can be moved."""
    if model.embedding is None:
        return False
    with embedded(model) as found:
        model(texts)
    if len(found) != 1 or found[0].vectors.ndim != 3:
        return False
    rows, columns, _ = found[0].vectors.shape
    if found[0].bounds is None:
        return rows == len(texts.ids)
    return rows == 1 and columns == int(found[0].bounds[-1])
