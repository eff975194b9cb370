"""What a loss function returns: a sum and a count, so that pieces add up to the whole.

The mean of means is not the mean. A `Loss` keeps the sum over samples (or tokens, boxes, pixels)
and their number apart; the update divides once, by the count of all micro-batches and processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from rondel.errors import LossError

Count = int | Tensor
F = TypeVar("F", bound=Callable[..., Any])


class Loss:
    """A sum over ``count`` elements, with named parts for the log.

    Args:
        sum: Scalar; the loss summed over the elements, with a graph.
        count: How many elements the sum has: samples, tokens, boxes ...
        parts: Named sums over the same elements, for the log only; detached when stored.
    """

    __slots__ = ("_mean", "_sum", "count", "parts", "terms")

    def __init__(
        self,
        sum: Tensor,  # noqa: A002 - the word of the formula
        count: Count,
        *,
        parts: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._sum: Tensor | None = sum
        self._mean: Tensor | None = None
        self.count = count
        self.parts = parts
        self.terms: tuple[tuple[str, float, Loss], ...] = ()

    @classmethod
    def of_mean(
        cls, mean: Tensor, count: Count, *, parts: Mapping[str, Tensor] | None = None
    ) -> Loss:
        """Wrap a loss that is a mean over ``count`` elements; ``parts`` are means as well."""
        loss = cls(mean, count)
        loss._sum, loss._mean = None, mean
        if parts:
            loss.parts = {name: part.detach() * count for name, part in parts.items()}
        return loss

    @classmethod
    def weighted(cls, terms: Mapping[str, Loss], weights: Mapping[str, float]) -> Loss:
        """Add means of losses that count different things: ``sum(w * term.sum / term.count)``.

        A batch in several pieces needs the counts of the whole batch first: declare them with
        `counted`. A name without a weight has weight 1.
        """
        loss = cls(torch.zeros(()), 1)
        loss._sum = None
        loss.terms = tuple((name, weights.get(name, 1.0), term) for name, term in terms.items())
        return loss

    def scaled(self, weight: float) -> Loss:
        """Return the loss times a weight; its counts and its parts in the log stay as they are."""
        loss = Loss(self.sum * weight if not self.terms else torch.zeros(()), self.count)
        loss.parts = self.parts
        if self.terms:
            loss._sum = None
            loss.terms = tuple((name, own * weight, term) for name, own, term in self.terms)
        return loss

    @property
    def sum(self) -> Tensor:
        """The loss summed over its elements, a scalar with a graph."""
        if self._sum is None:
            self._sum = self.mean * self.count
        return self._sum

    @property
    def mean(self) -> Tensor:
        """The loss per element, a scalar with a graph; an empty batch has mean 0."""
        if self._mean is None:
            if self.terms:
                self._mean = self.weighed({name: term.count for name, _, term in self.terms})
            else:
                assert self._sum is not None
                self._mean = divided(self._sum, self.count)
        return self._mean

    def weighed(self, counts: Mapping[str, Count]) -> Tensor:
        """Return ``sum(w * term.sum / counts[name])`` of a weighted loss.

        Raises:
            LossError: ``counts`` lacks the name of a term.
        """
        try:
            values = [weight * divided(t.sum, counts[name]) for name, weight, t in self.terms]
        except KeyError as error:
            raise LossError(
                f"the counts of the loss lack {error.args[0]!r}; they have {sorted(counts)}",
                hint="Return one count for each name given to Loss.weighted.",
            ) from error
        return torch.stack(values).sum()

    def part_sums(self) -> dict[str, tuple[Tensor, Count]]:
        """Return the named parts as detached (sum, count), for the log."""
        if self.terms:
            return {name: (term.sum.detach(), term.count) for name, _, term in self.terms}
        return {name: (part.detach(), self.count) for name, part in (self.parts or {}).items()}


def divided(total: Tensor, count: Count) -> Tensor:
    """Divide by a count; nothing counted gives 0, still attached to the graph."""
    return total / divisor(count)


def divisor(count: Count) -> Count:
    """Return the count, or 1 where nothing was counted; sums of weights may be below 1."""
    if isinstance(count, Tensor):
        return torch.where(count > 0, count, 1)  # no branch on the value: it would synchronise
    return count if count > 0 else 1


def counted(counts: Callable[..., Mapping[str, Count]]) -> Callable[[F], F]:
    """Declare how to count a batch before its loss is computed.

    ``counts`` gets the inputs of the loss function and returns one count per term. A loss made by
    `Loss.weighted` needs it as soon as a batch is computed in several pieces or by several
    processes, because each piece must be divided by the count of the whole batch.

        @counted(lambda images, targets: {"box": count_boxes(targets), "object": len(images)})
        def detection_loss(images, targets): ...
    """

    def mark(function: F) -> F:
        function.counts = counts  # type: ignore[attr-defined]
        return function

    return mark


def counts_of(function: Callable[..., Any], inputs: tuple[Any, ...]) -> dict[str, Count] | None:
    """Return the declared counts of a batch, or None if the function declares none."""
    counts = getattr(function, "counts", None)
    return None if counts is None else dict(counts(*inputs))


def as_loss(returned: object, *, update: str, whole: bool) -> Loss:
    """Check what a loss function returned.

    Args:
        returned: A `Loss`, or a scalar tensor: the mean over the batch.
        update: The name of the update, for the message.
        whole: The batch is computed in one piece by one process; only then is a plain mean enough.

    Raises:
        LossError: It is neither, or a plain mean of one piece among several.
    """
    if isinstance(returned, Loss):
        return returned
    where = f"update '{update}'"
    if not isinstance(returned, Tensor) or returned.ndim != 0:
        kind = (
            f"a tensor of shape {tuple(returned.shape)}"
            if isinstance(returned, Tensor)
            else f"{type(returned).__name__}"
        )
        raise LossError(
            f"the loss function returned {kind}",
            where=where,
            hint="Return rondel.Loss(sum, count), or a scalar tensor that is the mean.",
        )
    if not whole:
        raise LossError(
            "the loss function returned a mean without its count",
            where=where,
            hint="Several pieces or processes need rondel.Loss(sum, count) or "
            "rondel.Loss.of_mean(mean, count): a mean of means is not the mean.",
        )
    return Loss.of_mean(returned, 1)
