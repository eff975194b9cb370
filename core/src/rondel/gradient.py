"""Gradients of the parameters that somebody owns: made, measured, and found sound or not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.autograd import Variable


class LateCheck:
    """Whether a loss was finite, read without waiting for the device.

    The flag is copied to pinned memory behind the step that made it; one step later it is there.
    """

    def __init__(self, value: Tensor) -> None:
        self._flag = torch.empty((), dtype=torch.bool, pin_memory=True)
        self._flag.copy_(torch.isfinite(value), non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()

    def finite(self) -> bool:
        """Wait for the copy, long done, and return the flag."""
        self._copied.synchronize()
        return bool(self._flag)


@cache
def seed(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the gradient of a loss with respect to itself."""
    return torch.ones((), dtype=dtype, device=device)


def backward(value: Tensor, owned: tuple[Tensor, ...], *, retain_graph: bool) -> None:
    """Add the gradient of a scalar to ``grad`` of the owned parameters, and of nothing else.

    This is ``torch.autograd.backward(value, inputs=owned)`` without its checks, which hold here by
    construction and take longer than the backward pass of a small model.
    """
    Variable._execution_engine.run_backward(
        (value,),
        (seed(value.dtype, value.device),),
        retain_graph,
        False,
        owned,
        allow_unreachable=True,
        accumulate_grad=True,
    )


def all_finite(tensor: Tensor) -> bool:
    """Tell whether every element is finite; what a sparse tensor leaves out is 0."""
    dense = tensor.coalesce().values() if tensor.is_sparse else tensor
    return bool(torch.isfinite(dense).all())


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm over all tensors, a scalar still on the device."""
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in tensors]
    norms = torch.stack(torch._foreach_norm(dense))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm
