"""The processes of a run: who we are, sums over all of us, and one mind about what to do next.

`torchrun` starts the processes; this module only joins them. There is no wrapper around modules:
an update sums its own gradients with one coalesced all-reduce, so several models, penalties and
unused parameters need no special care.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rondel.batch import share
from rondel.errors import LostProcessError, StateError, UsageError
from rondel.rescue import Failure, tell
from rondel.tree import from_bytes, to_bytes

T = TypeVar("T")
TIMEOUT = timedelta(hours=1)
"""Of one exchange. Failures are found by `rondel.rescue`; a slow disk is none."""


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
        """Join the group that ``torchrun`` has set up, or return a group of one.

        Raises:
            UsageError: There are more processes than GPUs.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls(0, 1, torch.device(device))
        place = own_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=TIMEOUT)
            atexit.register(leave)  # a process may open several runs, one group serves them all
        # what is on the accelerator goes through nccl, which must not wait for small talk
        control = dist.new_group(backend="gloo", timeout=TIMEOUT) if place.type == "cuda" else None
        return cls(dist.get_rank(), size, place, control)

    def leave(self) -> None:
        """Leave the group."""
        if self.size > 1:
            leave()

    @property
    def writes(self) -> bool:
        """This process writes files and talks."""
        return self.rank == 0

    def share(self, size: int) -> tuple[int, int]:
        """Return this process' share of ``size`` samples: start and stop."""
        return share(size, self.rank, self.size)

    # -- sums ----------------------------------------------------------------------------------

    def sum_gradients(self, parameters: Sequence[nn.Parameter], extra: Tensor) -> Tensor:
        """Sum gradients and a few numbers over all processes with one all-reduce per dtype.

        A missing gradient counts as zeros, so that all processes agree on what they sum. One that
        every process lacks stays missing: the optimizer leaves such a parameter alone.

        Args:
            parameters: The parameters of the update; their ``grad`` is replaced by the sum.
            extra: (K,) numbers that travel along, such as the loss and its count.

        Returns:
            (K,) the sums of ``extra``, float64.
        """
        missing = [place for place, p in enumerate(parameters) if p.grad is None]
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_type.setdefault(parameter.dtype, []).append(parameter)
        for members in by_type.values():
            self._sum_together(members)
        # counts need their own precision: a float32 sum of token counts is not exact
        present = torch.ones(len(parameters), dtype=torch.float64, device=extra.device)
        present[missing] = 0.0
        total = torch.cat([extra.to(torch.float64), present])
        self._add_up(total)
        if missing:  # only then somebody has to wait for the device and look
            holders = total[len(extra) :].tolist()
            for place in missing:
                if not holders[place]:
                    parameters[place].grad = None
        return total[: len(extra)]

    def _sum_together(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients of parameters of one dtype through one flat tensor."""
        flat = torch.cat([gradient(p).reshape(-1) for p in parameters])
        self._add_up(flat)
        offset = 0
        for p in parameters:
            summed = flat[offset : offset + p.numel()].view_as(p)
            # fused kernels walk through memory: a gradient must lie there as its parameter does
            p.grad = summed if p.is_contiguous() else torch.empty_like(p).copy_(summed)
            offset += p.numel()

    def sum_counts(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Sum the named counts of a batch over all processes."""
        if self.size == 1:
            return dict(counts)
        values = [torch.as_tensor(count, dtype=torch.float64) for count in counts.values()]
        total = torch.stack([value.to(self.device) for value in values])
        self._add_up(total)
        return dict(zip(counts, total.unbind(), strict=True))

    def _add_up(self, tensor: Tensor) -> None:
        with exchange():
            dist.all_reduce(tensor)

    # -- agreement -----------------------------------------------------------------------------

    def highest(self, values: Sequence[float]) -> list[float]:
        """Return for each value the highest of all processes."""
        if self.size == 1:
            return list(values)
        raised = torch.tensor(values, dtype=torch.float64)
        with exchange():
            dist.all_reduce(raised, op=dist.ReduceOp.MAX, group=self.control)
        numbers: list[float] = raised.tolist()
        return numbers

    def gather(self, tree: Any) -> list[Any]:
        """Return the trees of all processes, in the order of their ranks; nothing is pickled."""
        if self.size == 1:
            return [tree]
        blob = torch.frombuffer(bytearray(to_bytes(tree)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with exchange():
            dist.all_gather(sizes, torch.tensor([blob.numel()]), group=self.control)
        longest = int(max(size.item() for size in sizes))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: blob.numel()] = blob
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        with exchange():
            dist.all_gather(parts, padded, group=self.control)
        return [
            from_bytes(part[: int(size.item())].numpy().tobytes())
            for part, size in zip(parts, sizes, strict=True)
        ]

    def lead(self, work: Callable[[], T]) -> T | None:
        """Do work in the first process while the others wait; they end with it if it fails.

        Returns:
            What ``work`` returned; None in the other processes.
        """
        if not self.writes:
            failed = self.gather(None)[0]
            if failed is None:
                return None
            failure = Failure(0, **failed)
            tell(self.rank, failure)
            raise SystemExit(failure.code)
        try:
            made = work()
        except Exception as error:
            self.gather(Failure.of(self.rank, error).to_json())
            raise
        self.gather(None)
        return made

    # -- modules -------------------------------------------------------------------------------

    def broadcast(self, modules: Iterable[nn.Module]) -> None:
        """Give every process the parameters and buffers of the first.

        Raises:
            StateError: The modules of the processes have different shapes.
        """
        if self.size == 1:
            return
        for module in modules:
            tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
            self._check_alike({name: list(tensor.shape) for name, tensor in tensors.items()})
            self.share_tensors(list(tensors.values()))

    def share_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of the first process, with one broadcast."""
        filled = [tensor.detach() for tensor in tensors if tensor.numel()]
        if self.size == 1 or not filled:
            return
        # as bytes: any dtype will do, and all of them together
        flat = torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor in filled])
        with exchange():
            dist.broadcast(flat, 0)
        offset = 0
        for tensor in filled:
            piece = flat[offset : offset + tensor.nbytes].clone()  # a clone is aligned
            tensor.copy_(piece.view(tensor.dtype).view(tensor.shape))
            offset += tensor.nbytes

    def _check_alike(self, shapes: Mapping[str, Any]) -> None:
        first, *others = self.gather(dict(shapes))
        for rank, other in enumerate(others, 1):
            names = [n for n in {**first, **other} if first.get(n) != other.get(n)]
            if names:
                raise StateError(
                    f"the model differs between process 0 and {rank}: '{names[0]}' is "
                    f"{first.get(names[0], 'missing')} and {other.get(names[0], 'missing')}",
                    hint="Build it from the config and the data, the same in every process.",
                )

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            with exchange():
                dist.barrier(group=self.control)


def own_device(wanted: str) -> torch.device:
    """Return the device of this process of several: each has a GPU of its own, or all the CPU.

    Raises:
        UsageError: There are more processes than GPUs.
    """
    if not wanted.startswith("cuda"):
        return torch.device(wanted)
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise UsageError(
            f"process {local} of this machine finds no GPU of its own: there are {count}",
            where="run.device",
            hint=f"Start at most {count} with --nproc-per-node, or set run.device=cpu.",
        )
    # events and streams are made on the current device, not on the one of the tensors
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def leave() -> None:
    """Leave the group of processes, if this one is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient of a parameter, zeros if it has none.

    Raises:
        UsageError: It is sparse.
    """
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    if parameter.grad.is_sparse:
        raise UsageError(
            f"a sparse gradient of shape {tuple(parameter.shape)} cannot be summed over processes",
            hint="Make the embedding with sparse=False, or train with one process.",
        )
    return parameter.grad


@contextmanager
def exchange() -> Iterator[None]:
    """Name the likely cause when an exchange with the other processes breaks off.

    Raises:
        LostProcessError: Another process is gone, or the processes do different things.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise LostProcessError(
            f"an exchange with the other processes broke off: {reason}",
            hint="Look for the message of the process that failed first; "
            "one without a message was probably killed for its memory.",
        ) from error
