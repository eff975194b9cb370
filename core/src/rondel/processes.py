"""The processes of a run: who we are, sums over all of us, and nobody left behind.

`torchrun` starts the processes; this module only joins them. There is no wrapper around modules:
an update sums its own gradients with one coalesced all-reduce, so several models, penalties and
unused parameters need no special care.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rondel.batch import share
from rondel.tree import from_bytes, to_bytes


@dataclass(frozen=True)
class Processes:
    """The group of processes that train together; a group of one costs nothing.

    Args:
        rank: Number of this process, 0 is the one that writes.
        size: How many there are.
        device: Where this process computes.
        control: A gloo group for small exchanges, so that no accelerator has to wait for them.
    """

    rank: int
    size: int
    device: torch.device
    control: Any = None

    @classmethod
    def join(cls, device: str) -> Processes:
        """Join the group that ``torchrun`` has set up, or return a group of one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls(0, 1, torch.device(device))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        place = torch.device("cuda", local) if device.startswith("cuda") else torch.device(device)
        if not dist.is_initialized():
            backend = "nccl" if place.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=timedelta(minutes=10))
        control = dist.new_group(backend="gloo") if place.type == "cuda" else None
        return cls(dist.get_rank(), size, place, control)

    def leave(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def writes(self) -> bool:
        """This process writes files and talks."""
        return self.rank == 0

    def share(self, size: int) -> tuple[int, int]:
        """Return this process' share of ``size`` samples: start and stop."""
        return share(size, self.rank, self.size)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], extra: Tensor) -> Tensor:
        """Sum gradients and a few numbers over all processes with one all-reduce per dtype.

        A missing gradient counts as zeros, so that all processes agree on what they sum.

        Args:
            parameters: The parameters of the update; their ``grad`` is replaced by the sum.
            extra: (K,) numbers that travel along, such as the loss and its count.

        Returns:
            (K,) the sums of ``extra``, float64.
        """
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            by_type.setdefault(parameter.dtype, []).append(parameter)
        for members in by_type.values():
            flat = torch.cat([p.grad.reshape(-1) for p in members if p.grad is not None])
            dist.all_reduce(flat)
            offset = 0
            for p in members:
                p.grad = flat[offset : offset + p.numel()].view_as(p)
                offset += p.numel()
        # counts need their own precision: a float32 sum of token counts is not exact
        total = extra.to(torch.float64)
        dist.all_reduce(total)
        return total

    def sum_counts(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Sum the named counts of a batch over all processes."""
        if self.size == 1:
            return dict(counts)
        values = [torch.as_tensor(count, dtype=torch.float64) for count in counts.values()]
        total = torch.stack([value.to(self.device) for value in values])
        dist.all_reduce(total)
        return dict(zip(counts, total.unbind(), strict=True))

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether any process has raised it."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(raised, op=dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in raised.tolist()]

    def gather(self, tree: Any) -> list[Any]:
        """Return the trees of all processes, in the order of their ranks; nothing is pickled."""
        if self.size == 1:
            return [tree]
        blob = torch.frombuffer(bytearray(to_bytes(tree)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([blob.numel()]), group=self.control)
        longest = int(max(size.item() for size in sizes))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: blob.numel()] = blob
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(parts, padded, group=self.control)
        return [
            from_bytes(part[: int(size.item())].numpy().tobytes())
            for part, size in zip(parts, sizes, strict=True)
        ]

    def broadcast(self, modules: Iterable[nn.Module]) -> None:
        """Give every process the parameters and buffers of the first."""
        if self.size == 1:
            return
        with torch.no_grad():
            for module in modules:
                for tensor in [*module.parameters(), *module.buffers()]:
                    dist.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier(group=self.control)
