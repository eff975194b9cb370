"""Rows taken from a tensor and given back: gathers whose backward pass is a plain copy.

Torch's own `index_select` adds its gradient row by row, for rows that may be taken twice. The
indices of a layout never are, and adding is what a layer would spend most of its copying on.
R rows, K rows taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class _Take(torch.autograd.Function):
    """Rows taken at most once each: the gradient is copied back, and zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(source)
        return source.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,), (grad,) = ctx.saved_tensors, grads
        return grad.new_zeros(ctx.count, *grad.shape[1:]).index_copy(0, index, grad), None


class _Spread(torch.autograd.Function):
    """Rows taken once each at `kept`, and copies of them elsewhere whose gradient is zero."""

    @staticmethod
    def forward(ctx: FunctionCtx, source: Tensor, index: Tensor, kept: Tensor) -> Tensor:
        ctx.save_for_backward(kept)
        return source.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (kept,), (grad,) = ctx.saved_tensors, grads
        return grad.index_select(0, kept), None, None


def take(source: Tensor, index: Tensor) -> Tensor:
    """Return the rows at an index that names no row twice.

    Args:
        source: (R, ...).
        index: (K,) rows, all different.
    """
    taken: Tensor = _Take.apply(source, index)
    return taken


def spread(source: Tensor, index: Tensor, kept: Tensor) -> Tensor:
    """Return rows with copies among them, if the copies' gradient is known to be zero.

    Args:
        source: (R, ...).
        index: (K,) the row that each place gets; copies fill what would be padding.
        kept: (R,) the one place of each row that counts; all others must have no gradient.
    """
    placed: Tensor = _Spread.apply(source, index, kept)
    return placed
