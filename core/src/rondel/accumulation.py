"""The gradient of one batch, made of one piece or many, by one process or several.

Gradients of *sums* are added up and divided once, by the total count of all pieces and processes:
that is the gradient of the one big batch, whatever the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rondel.batch import leaves, size_of, split
from rondel.errors import LossError
from rondel.gradient import backward
from rondel.loss import Count, as_loss, counts_of, divisor
from rondel.processes import Processes

LossFunction = Callable[..., Any]
Parts = Mapping[str, tuple[Tensor, Count]]
COMPILED = 16
"""Compiled loss functions that are kept; a loop that makes a new closure per step stays small."""


class Accumulation:
    """Adds up the gradient of a batch in ``grad`` of the owned parameters.

    Args:
        name: Of the update, for messages.
        owned: The parameters.
        processes: Who shares a batch.
        autocast: The context of the forward pass, if there is one.
        scaler: Of fp16, if there is one.
        compiles: Compile loss functions.
        micro_batches: Pieces of a batch.
        say: Tells the user when memory ran out.
    """

    def __init__(
        self,
        name: str,
        owned: Sequence[nn.Parameter],
        *,
        processes: Processes,
        autocast: AbstractContextManager[Any] | None,
        scaler: torch.amp.GradScaler | None,
        compiles: bool,
        micro_batches: int,
        say: Callable[[str], None],
    ) -> None:
        self.name = name
        self.owned = tuple(owned)
        self.micro_batches = micro_batches
        self.whole = True
        """The batch is computed in one piece by one process."""
        self.parts: list[Parts] = []
        """The named parts of the losses of the present batch."""
        self._processes = processes
        self._autocast = autocast
        self._scaler = scaler
        self._compiles = compiles
        self._compiled: dict[LossFunction, LossFunction] = {}
        self._say = say
        self._sum: Tensor | None = None
        self._count: Count | None = None

    def begin(self) -> None:
        """Forget the last batch."""
        self.whole = self.micro_batches == 1 and self._processes.size == 1
        for parameter in self.owned:
            parameter.grad = None
        self._sum = self._count = None
        if self.parts:
            self.parts = []

    def pieces(self, inputs: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
        """Return the inputs of each piece that this process computes."""
        if self.whole:
            return (inputs,)
        pieces = split(inputs, self.micro_batches)
        # a process may get no share of a short last batch; it takes part with zeros
        return [piece for piece in pieces if size_of(piece) or not list(leaves(piece))]

    def total_counts(
        self, loss_function: LossFunction, inputs: tuple[Any, ...]
    ) -> Mapping[str, Count] | None:
        """Return the declared counts of the batch over all processes, if there are any."""
        counts = counts_of(loss_function, inputs)
        return None if counts is None else self._processes.sum_counts(counts)

    def forward(self, loss_function: LossFunction, piece: tuple[Any, ...]) -> Any:
        """Compute the loss of one piece."""
        if self._compiles:
            loss_function = self._compile(loss_function)
        if self._autocast is None:
            return loss_function(*piece)
        with self._autocast:
            return loss_function(*piece)

    def _compile(self, loss_function: LossFunction) -> LossFunction:
        if loss_function not in self._compiled:
            if len(self._compiled) == COMPILED:
                self._compiled.clear()
            self._compiled[loss_function] = torch.compile(loss_function)
        return self._compiled[loss_function]

    def take(
        self, returned: Any, counts: Mapping[str, Count] | None, *, retain_graph: bool = False
    ) -> None:
        """Differentiate one piece: the mean if it is the whole, else the sum.

        Raises:
            LossError: It is no loss, has no gradient, or lacks its counts.
        """
        loss = as_loss(returned, update=self.name, whole=self.whole)
        count: Count | None = None
        if self.whole:
            value = loss.mean
        elif loss.terms:
            if counts is None:
                raise uncounted(self.name)
            value = loss.weighed(counts)
        else:
            value, count = loss.sum, loss.count
        if loss.parts or loss.terms:
            self.parts.append(loss.part_sums())
        if value.ndim or not value.requires_grad:
            raise without_gradient(value, self.name)
        scaled = value if self._scaler is None else self._scaler.scale(value)
        backward(scaled, self.owned, retain_graph=retain_graph)
        value = value.detach()
        self._sum = value if self._sum is None else self._sum + value
        if count is not None:
            self._count = count if self._count is None else self._count + count

    def can_split(self, error: Exception, inputs: tuple[Any, ...]) -> bool:
        """Tell whether memory ran out and smaller pieces are possible."""
        return is_out_of_memory(error) and self.micro_batches < size_of(inputs)

    def split_further(self) -> None:
        """Double the number of pieces, for this batch and all that follow."""
        self.micro_batches *= 2
        if self._processes.device.type == "cuda":
            torch.cuda.empty_cache()
        self._say(
            f"Update '{self.name}' ran out of memory: batches are computed in "
            f"{self.micro_batches} pieces from now on. The gradient stays the same."
        )

    def reduced(self) -> Tensor:
        """Sum over processes, divide once by the total count; return the mean loss."""
        total, count = self._sum, self._count
        if self.whole and total is not None:
            return total
        if total is None:
            total = torch.zeros((), dtype=self.owned[0].dtype, device=self._processes.device)
        if self._processes.size > 1:
            # float64 before they are stacked: bfloat16 makes 256 of a count of 257
            numbers = [
                torch.as_tensor(number, dtype=torch.float64, device=total.device)
                for number in (total, 0 if count is None else count)
            ]
            sums = self._processes.sum_gradients(list(self.owned), torch.stack(numbers))
            # a weighted loss is divided already and counts 0, so that its divisor is 1
            total, count = sums[0].to(total.dtype), sums[1]
        if count is None:
            return total
        by, grads = divisor(count), self.gradients()
        if grads:
            precise = torch.promote_types(grads[0].dtype, torch.float32)
            torch._foreach_div_(grads, by.to(precise) if isinstance(by, Tensor) else by)
        return (total / by).to(total.dtype)

    def gradients(self) -> list[Tensor]:
        """Return the gradients that exist."""
        return [parameter.grad for parameter in self.owned if parameter.grad is not None]


def differentiate(
    accumulations: Sequence[Accumulation], loss_function: LossFunction, inputs: tuple[Any, ...]
) -> None:
    """Leave the gradients of a batch in ``grad``, in as many pieces as memory asks for.

    Args:
        accumulations: One for each loss that the function returns; they share its graph.
        loss_function: Returns a loss, or a tuple of them if there are several accumulations.
        inputs: Of the function.

    Raises:
        LossError: The function returned something else.
    """
    first, *others = accumulations
    counts = None
    while True:
        first.begin()
        for other in others:
            first.micro_batches = max(first.micro_batches, other.micro_batches)
        for accumulation in accumulations if others else ():
            accumulation.micro_batches = first.micro_batches
            accumulation.begin()
        try:
            # once: a process that runs out of memory must not sum the counts alone again
            if counts is None and not first.whole:
                counts = first.total_counts(loss_function, inputs)
            for piece in first.pieces(inputs):
                returned = first.forward(loss_function, piece)
                if others:
                    take_all(accumulations, returned, counts)
                else:
                    first.take(returned, counts)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not first.can_split(error, inputs):
                raise
        else:
            return
        # not in the except block: the error holds on to what the failed attempt allocated
        first.split_further()


def take_all(
    accumulations: Sequence[Accumulation], losses: Any, counts: Mapping[str, Count] | None
) -> None:
    """Differentiate one piece of several losses; no step in between: they share the graph."""
    if not isinstance(losses, tuple) or len(losses) != len(accumulations):
        raise LossError(
            f"a joint loss function returned {type(losses).__name__}",
            where=" + ".join(f"'{accumulation.name}'" for accumulation in accumulations),
            hint=f"Return a tuple of {len(accumulations)} losses, one per update.",
        )
    for accumulation, loss in zip(accumulations, losses, strict=True):
        accumulation.take(loss, counts, retain_graph=accumulation is not accumulations[-1])


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error is an allocation that failed, on any device."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def uncounted(name: str) -> LossError:
    """Describe a weighted loss of a split batch without declared counts."""
    return LossError(
        "a weighted loss of several pieces or processes needs the counts of the whole batch",
        where=f"update '{name}'",
        hint="Declare them on the loss function: @rondel.counted(lambda *inputs: {...}).",
    )


def without_gradient(value: Tensor | None, name: str) -> LossError:
    """Describe a loss that cannot be differentiated, or whose graph misses the update."""
    where = f"update '{name}'"
    if value is None:
        return LossError(
            "the loss depends on no parameter that the update owns",
            where=where,
            hint="Does it run through another module, or through detached outputs?",
        )
    if value.ndim:
        return LossError(
            f"the loss has the shape {tuple(value.shape)}",
            where=where,
            hint="Add it up: rondel.Loss(losses.sum(), count=losses.numel()).",
        )
    return LossError(
        "the loss does not depend on any parameter",
        where=where,
        hint="Was it computed under no_grad, or from detached outputs?",
    )
